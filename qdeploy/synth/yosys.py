"""One Yosys run: a module of a design into a netlist of primitives and its cell counts.

    read_verilog -defer …; the family's script (qdeploy/devices); stat -json

No I/O buffers and no clock buffers: the design lies inside a Zynq and has no pins of its own.
Results are kept by content, so that an unchanged module is never synthesized twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qdeploy.artifacts import atomic_path, sha256, write_json
from qdeploy.devices.families import Family
from qdeploy.errors import ToolFailedError
from qdeploy.scratch import scratch_folder
from qdeploy.synth.program import run_script, share_folder
from qdeploy.tools import tool_version

# Changes to the script or to the format of a stored result change this, and with it every key.
_RECIPE = "6"
# The name under which every module is stored, so that two that differ in their name only are one.
STORED_AS = "qd_module"
# Modules mapped one by one where memory is short: dot products are most of a layer.
_ROWS = "*qd_dot_*"
_KEEP = "keep_hierarchy"
_PORTS = re.compile(r"\s*(module|input|output|endmodule)\b")


@dataclass(frozen=True)
class Netlist:
    """A synthesized module: its netlist (of a module called `STORED_AS`), its cells, the log.

    `parts` are the cells of the modules in it that have `keep_hierarchy`, by module. `by_rows`: its
    dot products were mapped one by one, for want of memory.
    """

    verilog: Path
    cells: dict[str, int]
    log: Path
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    by_rows: bool = False

    def text(self, module: str) -> str:
        """The netlist as Verilog of a module called `module`."""
        stored = self.verilog.read_text(encoding="utf-8")
        return stored.replace(f"module {STORED_AS}(", f"module {module}(", 1)

    def stub(self, module: str) -> str:
        """Its ports only, as Verilog: what a black box needs, in a fraction of the memory."""
        lines = [line for line in self.text(module).splitlines() if _PORTS.match(line)]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Yosys:
    """Yosys for one family, with a store of results.

    Args:
        family: one that designs can be synthesized for.
        store: folder of results, `<key>.v`, `<key>.json` and `<key>.log`; may be shared.
        timeout_s: seconds one module may take.
    """

    family: Family
    store: Path
    timeout_s: float = 3600.0

    @property
    def source(self) -> str:
        """Tool, version and command, as `resources.json` gives it."""
        return f"{tool_version('yosys')}: {self.family.synthesized().script.summary}"

    def key_parts(self) -> tuple[str, ...]:
        """What a key holds besides the files: recipe, tool version, family."""
        return (_RECIPE, self.source)

    def stored(self, key: str) -> Netlist | None:
        """A result from the store; None when there is none, it does not read, or its netlist is not
        the one that was stored (a disk that was full, a copy that was cut off)."""
        record = self.store / f"{key}.json"
        try:
            data = json.loads(record.read_text(encoding="utf-8"))
            cells = {str(kind): int(number) for kind, number in data["cells"].items()}
            parts = {str(name): dict(found) for name, found in data["parts"].items()}
            by_rows = bool(data["by_rows"])
            whole = sha256(self.store / f"{key}.v") == data["sha256"]
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return None
        netlist = self.store / f"{key}.v"
        return Netlist(netlist, cells, self._log(key), parts, by_rows) if whole else None

    def _log(self, key: str) -> Path:
        return self.store / f"{key}.log"

    def run(
        self,
        key: str,
        module: str,
        folder: Path,
        sources: Sequence[str],
        stubs: Mapping[str, Netlist] | None = None,
        *,
        by_rows: bool = False,
    ) -> Netlist:
        """Synthesize `module` of the design in `folder` and store the result under `key`.

        Args:
            sources: Verilog files relative to `folder`, which is the working directory so that
                memory files with relative names are found.
            stubs: module -> netlist of those that are taken as black boxes.
            by_rows: map each dot product by itself and put them together at the end: takes a
                fraction of the memory, and a few more LUTs.

        Raises:
            ToolMissingError: when there is no Yosys.
            OutOfMemoryError: when it ran out of memory.
            ToolFailedError: when it fails, or ends well without a netlist or figures.
        """
        done = self.stored(key)
        if done is not None:
            return done
        self.store.mkdir(parents=True, exist_ok=True)
        with scratch_folder("yosys") as scratch:
            script = [f'read_verilog -defer "{source}"' for source in sources]
            if stubs:
                texts = [made.stub(name) for name, made in stubs.items()]
                (scratch / "stubs.v").write_text("\n".join(texts), encoding="utf-8")
                script.append(f"read_verilog -lib {scratch}/stubs.v")
            if by_rows:
                script += [
                    f"hierarchy -check -top {module}",
                    f"setattr -mod -set {_KEEP} 1 {_ROWS}",
                ]
            script += self.family.synthesized().script.commands(module, share_folder(), scratch)
            if by_rows:
                script += [f"setattr -mod -unset {_KEEP} {_ROWS}", "flatten", "clean"]
            script += [
                "delete t:$scopeinfo",  # where flattened cells came from, in later versions
                "check -assert",
                f"rename {module} {STORED_AS}",
                f"tee -o {scratch}/stat.json stat -json -top {STORED_AS}",
                f"write_verilog -noattr -noexpr {scratch}/netlist.v",
            ]
            run_script(script, scratch, folder, self._log(key), self.timeout_s)
            return self._keep(key, module, scratch, by_rows)

    def _keep(self, key: str, module: str, scratch: Path, by_rows: bool) -> Netlist:
        netlist, log = scratch / "netlist.v", self._log(key)
        text = netlist.read_text(encoding="utf-8") if netlist.is_file() else ""
        if f"\nmodule {STORED_AS}(" not in text or not text.endswith("endmodule\n"):
            missing = "with half a netlist" if text else "without a netlist"
            raise ToolFailedError(
                f"Yosys ended without an error and {missing} of `{module}`",
                where=str(log),
                do="look at the end of the log, and whether the disk is full; a Yosys from PyPI "
                "may do this, Debian's does not",
            )
        parts = _cells(scratch / "stat.json", module, log)
        cells = parts.pop(STORED_AS)
        with atomic_path(self.store / f"{key}.v") as path:
            path.write_text(text, encoding="utf-8")
        # Last: the record says what the netlist beside it has to be.
        record = {"module": module, "cells": cells, "parts": parts, "by_rows": by_rows}
        stored = self.store / f"{key}.v"
        write_json(self.store / f"{key}.json", {**record, "sha256": sha256(stored)})
        return Netlist(stored, cells, log, parts, by_rows)


def _cells(stat: Path, module: str, log: Path) -> dict[str, dict[str, int]]:
    """Cells of `STORED_AS` and of the modules kept in it, by name."""
    try:
        modules = json.loads(stat.read_text(encoding="utf-8"))["modules"]
        found = {
            name.removeprefix("\\"): {
                str(kind): int(n) for kind, n in one["num_cells_by_type"].items()
            }
            for name, one in modules.items()
        }
        return {STORED_AS: found.pop(STORED_AS), **found}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(
            f"Yosys gave no readable figures for `{module}`",
            where=str(log),
            why=f"{type(error).__name__}: {error}",
            do="look at the end of the log",
        ) from error

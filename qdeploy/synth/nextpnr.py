"""One module through Yosys and nextpnr: the clock it reaches after routing.

    synth_ecp5 -abc9 [-nodsp] -top T -json …; nextpnr-ecp5 --85k --speed 6 --freq F --seed S

Results are kept by content, so that an unchanged module is never placed and routed twice.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.devices.families import ECP5, Family, Routing
from qdeploy.errors import InternalError, ToolFailedError, ToolMissingError
from qdeploy.scratch import scratch_folder
from qdeploy.synth.program import run_script
from qdeploy.tools import run_tool, tool_version

# Changes to the commands or to the format of a stored result change this, and with it every key.
_RECIPE = "1"
# Relative names only: the program is a WebAssembly module that sees its working directory.
_NETLIST, _REPORT = "netlist.json", "report.json"


@dataclass(frozen=True)
class Timing:
    """What place and route says.

    Args:
        fmax_mhz: the clock reached, over all paths from register to register.
        path: the longest one, one line per step: delay in ns, what it is, and where it leads.
        used: cells by kind, none with zero.
    """

    fmax_mhz: float
    path: tuple[str, ...]
    used: dict[str, int]


@dataclass(frozen=True)
class NextPnr:
    """Place and route, with a store of results.

    Args:
        store: folder of results, `<key>.json` and the logs; may be shared.
        seed: of the placement.
        target_mhz: clock that placement and routing work towards.
        timeout_s: seconds each of the two programs may take.
        family: one with open place and route.
    """

    store: Path
    seed: int = 1
    target_mhz: float = 125.0
    timeout_s: float = 1800.0
    family: Family = ECP5

    @property
    def source(self) -> str:
        """Tools, versions and options."""
        tool, options = self.routing, " ".join(self._options())
        version_ = nextpnr_version(tool.program)
        return f"{tool_version('yosys')}: {tool.summary}; {tool.program} {version_}: {options}"

    @property
    def routing(self) -> Routing:
        """What the family says of place and route.

        Raises:
            InternalError: there is none for this family.
        """
        if self.family.routing is None:
            raise InternalError(f"there is no open place and route for {self.family.title}")
        return self.family.routing

    def _options(self) -> list[str]:
        return [*self.routing.device, "--freq", f"{self.target_mhz:g}", "--seed", str(self.seed)]

    def run(
        self, folder: Path, sources: Sequence[str], top: str, *, dsp: bool, memories: Sequence[str]
    ) -> Timing:
        """Place and route the module `top`, whose only pins should be few (see `timing_harness`).

        Args:
            folder: of the sources and memory files, which have names relative to it.
            dsp: let multiplications become DSP blocks.

        Raises:
            ToolMissingError: when there is no Yosys or no nextpnr.
            ToolFailedError: when one fails, or ends well without a netlist or without figures.
        """
        key = self._key(folder, [*sources, *memories], top, dsp)
        done = _stored(self.store / f"{key}.json")
        if done is not None:
            return done
        program = find_nextpnr(self.routing.program)
        self.store.mkdir(parents=True, exist_ok=True)
        with scratch_folder("nextpnr") as scratch:
            lines = [f'read_verilog -defer "{source}"' for source in sources]
            lines += self.routing.commands(top, str(scratch / _NETLIST), dsp)
            log = self.store / f"{key}.yosys.log"
            run_script(lines, scratch, folder, log, self.timeout_s)
            _check_netlist(scratch / _NETLIST, top, log)
            log = self.store / f"{key}.nextpnr.log"
            command: list[str | Path] = [program, *self._options(), "--lpf-allow-unconstrained"]
            command += ["--timing-allow-fail", "--top", top]
            command += ["--json", _NETLIST, "--report", _REPORT]
            run_tool(command, cwd=scratch, log_path=log, timeout=self.timeout_s)
            timing = _read(scratch / _REPORT, top, log)
        write_json(self.store / f"{key}.json", asdict(timing))
        return timing

    def _key(self, folder: Path, files: Sequence[str], top: str, dsp: bool) -> str:
        hasher = hashlib.sha256()
        for text in (_RECIPE, self.source, top, str(dsp)):
            hasher.update(f"{len(text)}:{text}".encode())
        for name in files:
            data = (folder / name).read_bytes()
            hasher.update(f"{len(name)}:{name}{len(data)}:".encode())
            hasher.update(data)
        return hasher.hexdigest()


def find_nextpnr(program: str) -> Path:
    """Absolute path of a nextpnr: on the PATH, or beside the running Python.

    Raises:
        ToolMissingError: when it is in neither place.
    """
    beside = Path(sys.executable).parent
    found = shutil.which(program) or shutil.which(program, path=str(beside))
    if found is None:
        raise ToolMissingError(
            f"`{program}` is not installed",
            where=f"neither on the PATH nor in {beside}",
            why="it is needed for clock frequencies after place and route; everything else works",
            do=f"install it: {sys.executable} -m pip install {program}",
        )
    return Path(found).absolute()


def nextpnr_version(program: str) -> str:
    """Version of the installed package of that name."""
    try:
        return version(program)
    except PackageNotFoundError:
        return "unknown"


def _stored(record: Path) -> Timing | None:
    """A result from the store, None when there is none or it does not read."""
    try:
        data: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        used = {str(kind): int(number) for kind, number in data["used"].items()}
        return Timing(float(data["fmax_mhz"]), tuple(map(str, data["path"])), used)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _check_netlist(netlist: Path, top: str, log: Path) -> None:
    try:
        found = top in json.loads(netlist.read_text(encoding="utf-8"))["modules"]
    except (OSError, ValueError, KeyError, TypeError):
        found = False
    if not found:
        raise ToolFailedError(
            f"Yosys ended without an error and without a netlist of `{top}` for nextpnr",
            where=str(log),
            do="look at the end of the log",
        )


def _read(report: Path, top: str, log: Path) -> Timing:
    """The figures of nextpnr's report."""
    try:
        data: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        clocks = {name: float(one["achieved"]) for name, one in data["fmax"].items()}
        paths = [one for one in data["critical_paths"] if "<async>" not in (one["from"], one["to"])]
        used = {str(kind): int(one["used"]) for kind, one in data["utilization"].items()}
        slowest = min(clocks.values())
        steps = tuple(map(_step, paths[0]["path"])) if paths else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolFailedError(
            f"nextpnr ended without an error and without the clock that `{top}` reaches",
            where=str(log),
            why=f"{type(error).__name__}: {error}",
            do="look at the end of the log",
        ) from error
    return Timing(slowest, steps, {kind: number for kind, number in used.items() if number})


def _step(step: dict[str, Any]) -> str:
    net = step.get("net") or f"{step['to']['cell']}.{step['to']['port']}"
    return f"{step['delay']:.2f} {step['type']} {net}"

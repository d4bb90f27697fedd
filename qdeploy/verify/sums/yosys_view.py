"""A module as Yosys reads it, before any optimization."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from qdeploy.tools import find_tool, run_tool
from qdeploy.verify.sums.results import Construct, View
from qdeploy.verify.sums.rtlil import Module, read_module

TIMEOUT = 600.0
# Verilator takes every file for SystemVerilog, and defines its own name.
_OPTIONS: dict[View, str] = {"synthesis": "", "simulation": "-sv -DVERILATOR "}


def read_with_yosys(
    construct: Construct,
    sources: Mapping[str, str],
    boxes: Collection[str],
    view: View,
    scratch: Path,
) -> Module:
    """Elaborate a module, turn its processes into registers and gates, and flatten it.

    Args:
        sources: module -> text.
        boxes: those of them of which only the ports are read.
        view: whose macros are defined.
        scratch: folder for the sources, the script, the log and what Yosys writes.

    Raises:
        ToolMissingError: there is no Yosys.
        ToolFailedError: it failed, as where a source is no Verilog.
        NotProvedError: the module is not what a proof can read.
    """
    script = []
    for name, text in sources.items():
        (scratch / f"{name}.v").write_text(text, encoding="utf-8")
        options = "-lib " if name in boxes else _OPTIONS[view]
        script.append(f"read_verilog {options}{name}.v")
    changes = " ".join(f"-chparam {name} {value}" for name, value in construct.parameters)
    script += [
        f"hierarchy -check -top {construct.module} {changes}",
        "proc -noopt",
        "flatten",
        "write_rtlil read.il",
    ]
    (scratch / "read.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    command: list[str | Path] = [find_tool("yosys"), "-Q", "-q", "read.ys"]
    run_tool(command, cwd=scratch, log_path=scratch / "read.log", timeout=TIMEOUT)
    return read_module((scratch / "read.il").read_text(encoding="utf-8"), construct.module)

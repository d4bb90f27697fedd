"""Fork, adder, pooling, depthwise, requantization and binary units in their variants.

No variant has a lint warning, and each goes through Yosys for Series 7, at most as large as stated
(about 15 % above what Yosys 0.23 gives).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdeploy.dataflow.rtl.library import closure
from qdeploy.dataflow.rtl.memories import hex_lines, threshold_lines
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.devices.families import XC7, find_family
from qdeploy.resources import resource
from qdeploy.synth.cells import count
from qdeploy.synth.program import share_folder
from qdeploy.tools import find_tool, run_tool

RTL = resource("hw/rtl")
STRUCTURAL = "+define+QD_STRUCTURAL"
LINT = [
    ("qd_fork", "-GWIDTH=1"),
    ("qd_add", "-GPE=3 -GB0=1 -GB1=7 -GS1=1 -GOB=8"),
    ("qd_add", "-GB0=9 -GS0=1 -GB1=12 -GS1=1 -GOB=9"),
    ("qd_global_sum", "-GCF=1"),
    ("qd_global_sum", "-GCF=2 -GPIXELS=1 -GSIGNED=1"),
    ("qd_global_sum", "-GCF=5 -GBITS=8 -GOB=6"),
    ("qd_depthwise", "-GNT=0 -GOB=7"),
    ("qd_depthwise", "-GC=2 -GPE=2 -GK=1"),
    ("qd_depthwise", "-GDOT=1 -GWB=8 -GAB=8 -GACC=20 -GUSE_DSP=1"),
    ("qd_depthwise", f"-GDOT=1 -GASIGNED=1 -GBASE=-2 {STRUCTURAL}"),
    ("qd_depthwise", f"-GASIGNED=1 -GAB=3 {STRUCTURAL}"),
    ("qd_results", "-GK=1 -GNF=1 -GNT=1 -GOB=1"),
    ("qd_results", "-GLATENCY=2 -GDB=12 -GNT=0 -GOB=9"),
    ("qd_requant", "-GUSE_DSP=0"),
    ("qd_requant", "-GC=2 -GLO=-128 -GHI=127 -GSHIFT=0 -GMB=1"),
    ("qd_requant", "-GC=6 -GPE=1 -GACC=31 -GMB=30 -GBB=60 -GSHIFT=45"),
    ("qd_requant", "-GACC=4 -GMB=2 -GBB=4 -GSHIFT=1 -GOB=16 -GHI=30000"),
    ("qd_requant", "-GEVEN=1"),
    ("qd_requant", "-GEVEN=1 -GSHIFT=0 -GMB=1 -GACC=4 -GBB=5"),
    ("qd_product", "-GXB=5 -GYB=1 -GUSE_DSP=0"),
    ("qd_product", "-GXB=21 -GYB=18"),
    ("qd_product", "-GXB=18 -GYB=30"),
    ("qd_mvu", "-GDOT=2 -GWB=1 -GAB=1"),
    ("qd_mvu", f"-GDOT=2 -GWB=1 -GAB=1 -GSIMD=1 -GNT=0 -GOB=9 {STRUCTURAL}"),
    *(("qd_dot_xnor", f"-GSIMD={simd} {STRUCTURAL}") for simd in (1, 8, 9, 18, 19, 64)),
]
DEPTHWISE = {"C": 32, "K": 9, "PE": 2, "ACC": 7, "WFILE": "w.hex", "TFILE": "t.hex"}
WIDE = {**DEPTHWISE, "WB": 8, "AB": 8, "ACC": 20, "NT": 0, "OB": 20, "DOT": DotKind.MULTIPLIERS}
REQUANT = {"C": 32, "PE": 2, "MFILE": "m.hex", "BFILE": "b.hex"}
XNOR = {"MW": 144, "MH": 8, "PE": 2, "SIMD": 16, "WB": 1, "AB": 1, "NT": 1, "OB": 1}
# block, parameters, most LUTs, DSP blocks, blocks of memory
NETLISTS = [
    ("qd_fork", {"WIDTH": 64}, 6, 0, 0.0),
    ("qd_add", {"PE": 4, "B0": 8, "B1": 8, "OB": 9}, 85, 0, 0.0),
    ("qd_global_sum", {"PE": 4, "BITS": 4, "CF": 16, "PIXELS": 64, "OB": 10}, 175, 0, 0.0),
    ("qd_global_sum", {"PE": 2, "BITS": 8, "CF": 512, "PIXELS": 49, "OB": 14}, 130, 0, 0.5),
    ("qd_depthwise", DEPTHWISE, 240, 0, 0.0),
    ("qd_depthwise", {**WIDE, "USE_DSP": 1}, 255, 2, 0.0),
    ("qd_depthwise", {**WIDE, "USE_DSP": 0}, 590, 0, 0.0),
    ("qd_requant", {**REQUANT, "USE_DSP": 1}, 155, 2, 0.0),
    ("qd_requant", {**REQUANT, "USE_DSP": 0}, 660, 0, 0.0),
    ("qd_requant", {**REQUANT, "EVEN": 1}, 165, 2, 0.0),
    ("qd_product", {"XB": 21, "YB": 26}, 40, 2, 0.0),
    ("qd_mvu", {**XNOR, "DOT": DotKind.XNOR, "WFILE": "x.hex", "TFILE": "s.hex"}, 310, 0, 0.0),
]


def memories() -> dict[str, list[str]]:
    """Files for every row of NETLISTS: random, so that nothing is optimized away."""
    rng = np.random.default_rng(0)
    thresholds = np.sort(rng.integers(-30, 30, (32, 3)))
    signs = np.sort(rng.integers(-30, 30, (8, 1)))
    return {
        "w.hex": hex_lines(rng.integers(-1, 2, (144, 2)), 2, 2),
        "t.hex": threshold_lines(thresholds, 2, 7),
        "m.hex": hex_lines(rng.integers(0, 256, (16, 2)), 8, 2),
        "b.hex": hex_lines(rng.integers(-(1 << 23), 1 << 23, (16, 2)), 24, 2),
        "x.hex": hex_lines(rng.integers(0, 2, (36, 32)), 1, 32),
        "s.hex": threshold_lines(signs, 2, 9),
    }


@pytest.mark.parametrize(("block", "options"), LINT)
def test_variant_has_no_warning(block: str, options: str, tmp_path: Path) -> None:
    command = [find_tool("verilator"), "--lint-only", "-Wall", "-y", RTL, "--top-module", block]
    command += [*options.split(), RTL / f"{block}.v"]
    assert "%Warning" not in run_tool(command, tmp_path, tmp_path / "lint.log", 120)


@pytest.mark.parametrize(("block", "parameters", "luts", "dsps", "blocks"), NETLISTS)
def test_variant_becomes_a_netlist_without_latches_of_the_size_expected(
    block: str,
    parameters: dict[str, int | str],
    luts: int,
    dsps: int,
    blocks: float,
    tmp_path: Path,
) -> None:
    for name, lines in memories().items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if parameters.get("WB") == 8:
        weights = np.random.default_rng(1).integers(-127, 128, (144, 2))
        (tmp_path / "w.hex").write_text("\n".join(hex_lines(weights, 8, 2)), encoding="utf-8")
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
        f"check -assert\nrename {block} block\ntee -o stat.json stat -json -top block\n",
        encoding="utf-8",
    )
    run_tool([find_tool("yosys"), "-s", script], tmp_path, tmp_path / "yosys.log", 300)
    stat = json.loads((tmp_path / "stat.json").read_text(encoding="utf-8"))
    counts = count(XC7, stat["design"]["num_cells_by_type"], block)  # raises for a latch
    assert counts.lut <= luts, counts
    assert (counts.dsp, counts.bram36) == (dsps, blocks)
    assert counts.ff > 0

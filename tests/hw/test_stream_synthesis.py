"""The stream blocks go through Yosys for Series 7, without a latch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from qdeploy.dataflow.rtl.memories import threshold_files
from qdeploy.devices.families import find_family
from qdeploy.resources import resource
from qdeploy.synth.program import share_folder
from qdeploy.tools import find_tool, run_tool

# block, further files, parameters, cells that have to be there
BLOCKS = [
    ("qd_fifo", (), {"WIDTH": 16, "DEPTH": 2}, "FDRE"),
    ("qd_fifo", (), {"WIDTH": 16, "DEPTH": 32}, "RAM32M|RAM64M"),
    ("qd_fifo", (), {"WIDTH": 16, "DEPTH": 2048}, "RAMB"),
    ("qd_dwc", ("qd_cycle",), {"IN_WIDTH": 8, "OUT_WIDTH": 24}, "FDRE"),
    ("qd_tlast", (), {"BEATS": 100}, "FDRE"),
    ("qd_threshold", ("qd_fifo", "qd_threshold_stage"), {"C": 4, "PE": 2, "NT": 3}, "CARRY4"),
    ("qd_threshold", ("qd_fifo", "qd_threshold_stage"), {"C": 4, "PE": 2, "NT": 31}, "CARRY4"),
    ("qd_argmax", ("qd_fifo",), {}, "CARRY4"),
    ("qd_concat", ("qd_cycle", "qd_skid"), {"PE": 4}, "FDRE"),
    ("qd_beside", ("qd_skid",), {"L0": 4}, "FDRE"),
    ("qd_upsample", ("qd_cycle", "qd_level"), {"CF": 4}, "RAM32M|RAM64M"),
    ("qd_upsample", ("qd_cycle", "qd_level"), {"CF": 32, "W": 64, "WIDTH": 16}, "RAMB"),
    ("qd_dilate", ("qd_cycle", "qd_spaced", "qd_skid"), {"SH": 3}, "FDRE"),
    ("qd_depth_to_space", ("qd_cycle", "qd_level"), {"CF": 2}, "RAM32M|RAM64M|RAM128"),
    ("qd_depth_to_space", ("qd_cycle", "qd_level"), {"CF": 16, "W": 32, "WIDTH": 16}, "RAMB"),
]


@pytest.mark.parametrize("block, further, parameters, cells", BLOCKS)
def test_block_becomes_a_netlist_without_latches(
    block: str, further: tuple[str, ...], parameters: dict[str, int], cells: str, tmp_path: Path
) -> None:
    sources = " ".join(str(resource(f"hw/rtl/{name}.v")) for name in (block, *further))
    if block == "qd_threshold":
        thresholds = np.sort(np.random.default_rng(0).integers(-999, 999, (4, parameters["NT"])))
        for name, lines in threshold_files("thresholds", thresholds, 2, 16).items():
            (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = " ".join(f"-set {name} {value}" for name, value in parameters.items())
    script = [
        f"read_verilog -defer {sources}",
        *([f"chparam {given} {block}"] if given else []),
        f"hierarchy -top {block}",
        *find_family("xc7").synthesized().script.commands(block, share_folder(), tmp_path),
        "select -assert-none t:$_DLATCH* t:LDCE t:LDPE",
        "write_verilog -noattr netlist.v",
    ]
    run_tool([find_tool("yosys"), "-p", "; ".join(script)], tmp_path, tmp_path / "yosys.log", 300)
    netlist = (tmp_path / "netlist.v").read_text(encoding="utf-8")
    assert re.search(rf"\b(?:{cells})\w* ", netlist)


def test_the_words_of_a_fifo_in_block_ram_come_out_of_registers(tmp_path: Path) -> None:
    script = (
        f"read_verilog -defer {resource('hw/rtl/qd_fifo.v')}; "
        "chparam -set WIDTH 16 -set DEPTH 2048 qd_fifo; hierarchy -top qd_fifo; "
        "synth_ecp5 -top qd_fifo -json netlist.json"
    )
    run_tool([find_tool("yosys"), "-p", script], tmp_path, tmp_path / "yosys.log", 300)
    text = (tmp_path / "netlist.json").read_text(encoding="utf-8")
    module = json.loads(text)["modules"]["qd_fifo"]
    kinds = [cell["type"] for cell in module["cells"].values()]
    assert "DP16KD" in kinds
    registers = {
        bit
        for cell in module["cells"].values()
        if cell["type"] == "TRELLIS_FF"
        for bit in cell["connections"]["Q"]
    }
    assert {*module["ports"]["m_tdata"]["bits"]} <= registers

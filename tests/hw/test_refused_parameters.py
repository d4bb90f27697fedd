"""Parameters that make no sense end elaboration, in the simulator and in synthesis alike.

The module named in the message does not exist: its name says what is wrong.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from qdeploy.dataflow.rtl.library import closure, library_file
from qdeploy.resources import resource
from qdeploy.tools import find_tool

RTL = resource("hw/rtl")
# Yosys reads the memories a block names before it looks for modules.
MEMORIES = ("weights", "thresholds", "multipliers", "biases", "bias")
REFUSED = [
    ("qd_mvu", {"MW": 18}, "SIMD_does_not_divide_MW"),
    ("qd_mvu", {"MH": 9}, "PE_does_not_divide_MH"),
    ("qd_mvu", {"DOT": 3}, "DOT_is_not_0_to_2"),
    ("qd_mvu", {"DOT": 2}, "XNOR_needs_WB_and_AB_of_1"),
    ("qd_mvu", {"READ": 3}, "READ_is_not_1_or_2"),
    ("qd_mvu", {"WREST": -1}, "WREST_leaves_no_weights"),
    ("qd_depthwise", {"C": 9}, "PE_does_not_divide_C"),
    ("qd_depthwise", {"DOT": 2}, "DOT_is_not_0_or_1"),
    ("qd_results", {"LATENCY": 1}, "LATENCY_is_below_2"),
    ("qd_results", {"NT": 0}, "OB_is_not_ACC_without_thresholds"),
    ("qd_results", {"NT": 4}, "NT_does_not_fit_OB"),
    ("qd_threshold", {"C": 18}, "PE_does_not_divide_C"),
    ("qd_threshold", {"NT": 0}, "NT_is_below_1"),
    ("qd_requant", {"C": 9}, "PE_does_not_divide_C"),
    ("qd_requant", {"LO": 300}, "LO_exceeds_HI"),
    ("qd_requant", {"SHIFT": 25}, "SHIFT_exceeds_the_sum"),
    ("qd_bias", {"C": 9, "PE": 2}, "PE_does_not_divide_C"),
    ("qd_bias", {"OB": 15}, "OB_is_narrower_than_an_operand"),
    ("qd_concat", {"B1": 5}, "OB_is_narrower_than_an_operand"),
    ("qd_beside", {"B0": 5}, "OB_is_narrower_than_an_operand"),
    ("qd_argmax", {"N": 11}, "PE_does_not_divide_N"),
    ("qd_argmax", {"IDX": 3}, "IDX_is_too_narrow_for_N"),
    ("qd_dwc", {"IN_WIDTH": 24}, "one_width_does_not_divide_the_other"),
    ("qd_extend", {"OB": 2}, "OB_is_not_wider_than_IB"),
    ("qd_fifo", {"DEPTH": 65536}, "DEPTH_is_not_1_to_65535"),
    ("qd_pad", {"BITS": 3}, "BITS_does_not_divide_WIDTH"),
    ("qd_window", {"KH": 9}, "the_window_exceeds_the_map"),
    ("qd_window_parallel", {"KW": 5, "DW": 2}, "the_window_exceeds_the_map"),
]


def output_of(command: list[str], folder: Path) -> str:
    """What a command, run in `folder`, says that has to fail."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.parametrize(("block", "parameters", "reason"), REFUSED)
def test_both_tools_refuse_a_wrong_parameter(
    block: str, parameters: dict[str, int], reason: str, tmp_path: Path
) -> None:
    source = str(RTL / f"{block}.v")
    given = [f"-G{name}={value}" for name, value in parameters.items()]
    verilator = [find_tool("verilator"), "--lint-only", "-y", str(RTL), "--top-module", block]
    found = output_of([*verilator, *given, source], tmp_path)
    assert f"Cannot find file containing module: '{reason}'" in found
    for name in MEMORIES:
        (tmp_path / f"{name}.hex").write_text("0\n", encoding="utf-8")
    files = " ".join(f'"{library_file(name)}"' for name in closure([block]))
    chosen = ", ".join(f".{name}({value})" for name, value in parameters.items())
    top = tmp_path / "top.v"
    top.write_text(f"module top; {block} #({chosen}) block (); endmodule\n", encoding="utf-8")
    script = f"read_verilog -defer {files} top.v; hierarchy -check -top top"
    found = output_of([find_tool("yosys"), "-q", "-p", script], tmp_path)
    assert f"Module `\\{reason}' referenced in module" in found


def test_every_check_has_its_test() -> None:
    checks = {
        (path.stem, reason)
        for path in RTL.glob("*.v")
        for reason in re.findall(r"^ +(\w+) refused \(\);", path.read_text("utf-8"), re.MULTILINE)
    }
    assert checks == {(block, reason) for block, _, reason in REFUSED}

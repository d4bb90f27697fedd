"""Every block goes through Verilator's linter with all warnings on."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.dataflow.rtl.library import closure
from qdeploy.design.library_text import library_text
from qdeploy.resources import resource
from qdeploy.tools import find_tool, run_tool

RTL = resource("hw/rtl")
BLOCKS = sorted(path.stem for path in RTL.glob("*.v"))
VARIANTS = [
    *((block, {}) for block in BLOCKS),
    *(("qd_fifo", {"DEPTH": depth}) for depth in (1, 2, 3, 1000)),
    ("qd_dwc", {"IN_WIDTH": 24, "OUT_WIDTH": 8}),
    ("qd_dwc", {"IN_WIDTH": 8, "OUT_WIDTH": 8}),
    ("qd_threshold", {"NT": 255, "OB": 8, "BASE": -128}),
    ("qd_threshold", {"NT": 100, "OB": 7, "C": 3, "PE": 1}),
    ("qd_threshold", {"NT": 1, "OB": 1, "C": 4, "PE": 4}),
    ("qd_threshold", {"NT": 31, "OB": 5, "C": 4, "PE": 4}),
    ("qd_argmax", {"PE": 1}),
    ("qd_concat", {"B0": 1, "B1": 1, "OB": 1, "PE": 1}),
    ("qd_upsample", {"KH": 1, "CF": 5}),
    ("qd_upsample", {"KW": 1, "W": 1}),
    ("qd_dilate", {"SH": 1, "H": 1, "W": 1}),
    ("qd_depth_to_space", {"W": 1, "B": 3}),
    ("qd_argmax", {"PE": 10}),
    ("qd_load", {"WIDTH": 3, "WORDS": 1}),
    ("qd_load", {"WIDTH": 17, "WORDS": 5}),
    ("qd_config", {"IN_BEATS": 1, "BYTES": 1}),
]
LOADABLE = [
    ("qd_mvu", {}),
    ("qd_mvu", {"MW": 4, "MH": 2, "READ": 2}),
    ("qd_depthwise", {"NT": 0, "OB": 7}),
    ("qd_threshold", {}),
    ("qd_threshold", {"NT": 31, "OB": 5, "C": 4, "PE": 4}),
    ("qd_bias", {}),
    ("qd_requant", {}),
    ("qd_requant", {"C": 4, "PE": 4, "MB": 30, "EVEN": 1}),
]


@pytest.mark.parametrize("block, parameters", VARIANTS)
def test_block_has_no_warning(block: str, parameters: dict[str, int], tmp_path: Path) -> None:
    given = [f"-G{name}={value}" for name, value in parameters.items()]
    command = [find_tool("verilator"), "--lint-only", "-Wall", "-y", RTL, "--top-module", block]
    command += [*given, RTL / f"{block}.v"]
    assert "%Warning" not in run_tool(command, tmp_path, tmp_path / "lint.log", 120)


@pytest.mark.parametrize("block, parameters", LOADABLE)
def test_block_that_is_loaded_has_no_warning(
    block: str, parameters: dict[str, int], tmp_path: Path
) -> None:
    for name in closure([block], loadable=True):
        text = (RTL / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(library_text(text, loadable=True), encoding="utf-8")
    given = [f"-G{name}={value}" for name, value in parameters.items()]
    command = [find_tool("verilator"), "--lint-only", "-Wall", "-y", ".", "--top-module", block]
    log = run_tool([*command, *given, f"{block}.v"], tmp_path, tmp_path / "lint.log", 120)
    assert "%Warning" not in log


def test_warnings_are_waived_by_name_and_switched_on_again() -> None:
    for block in BLOCKS:
        text = (RTL / f"{block}.v").read_text(encoding="utf-8")
        assert "-Wno-" not in text
        for line in text.splitlines():
            if "verilator lint_o" in line:
                name = line.split("lint_o")[1].split()[1]
                off, on = (text.count(f"lint_{state} {name}") for state in ("off", "on"))
                assert off == on, f"{block}.v: {name} is switched off {off} times, on {on} times"

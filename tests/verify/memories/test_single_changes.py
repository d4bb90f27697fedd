"""Designs with one fault: the rung that reads the files back finds it, at the right layer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from design_faults import KINDS, Faults
from memory_designs import DESIGNS, stitched
from redundant_faults import changes_nothing, same_windows

from qdeploy.verify.memories.design import check_design

# Faults of each kind; designs that take seconds a check have fewer.
EACH = 4
FEWER = {"resnet": 2, "unet_fast": 2, "densenet": 2}


@pytest.mark.parametrize("name", DESIGNS)
def test_every_fault_is_found_where_it_is(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    design, graph = stitched(name, folder)
    faults, each = Faults(folder, design, random.Random(11)), FEWER.get(name, EACH)
    tried = 0
    for fault in (faults.draw(kind) for kind in KINDS for _ in range(each)):
        if fault is None:
            continue
        tried += 1
        path = folder / fault.file
        before = path.read_text(encoding="utf-8")
        path.write_text(fault.text, encoding="utf-8")
        ledger = check_design(folder, design, graph)
        told = f"{fault.kind}: {fault.file}, {fault.what}"
        if not ledger.listed:
            if fault.kind == "parameter":
                assert same_windows(before, fault.text), told
            else:
                assert fault.kind in ("threshold", "constant"), told
                assert changes_nothing(folder, design, graph, fault), told
        elif fault.layer:
            assert ledger.listed[0].layer == fault.layer, told
        path.write_text(before, encoding="utf-8")
    assert tried >= 4 * each
    assert check_design(folder, design, graph).differing == 0


WINDOW = (
    "qd_window #(.WIDTH({width}), .H(8), .W(4), .KH({k}), .KW(1), .SH({s}), .SW(1),"
    " .DH({d}), .DW(1), .CF({cf}), .DEPTHWISE({by})) block0 (clk);"
)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"k": 1, "by": 1, "cf": 3}, True),
        ({"k": 3, "by": 1, "cf": 1}, True),
        ({"k": 3, "by": 1, "cf": 3}, False),
        ({"k": 1, "d": 2}, True),
        ({"k": 3, "d": 2}, False),
        ({"k": 8, "s": 2}, True),
        ({"k": 3, "s": 2}, False),
        ({"k": 9, "s": 0}, False),
        ({"width": 7}, False),
    ],
)
def test_windows_are_the_same_where_they_take_the_same_places(
    changed: dict[str, int], same: bool
) -> None:
    same_in_both = {"k": changed.get("k", 1), "cf": changed.get("cf", 1)}
    plain = {"width": 8, "s": 1, "d": 1, "by": 0, **same_in_both}
    assert same_windows(WINDOW.format(**plain), WINDOW.format(**{**plain, **changed})) is same

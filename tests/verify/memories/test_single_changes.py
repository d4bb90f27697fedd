"""Designs with one fault: the rung that reads the files back finds it, at the right layer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from design_faults import KINDS, Faults
from memory_designs import DESIGNS, stitched
from redundant_faults import changes_nothing

from qdeploy.verify.memories.design import check_design

EACH = 8


@pytest.mark.parametrize("name", DESIGNS)
def test_every_fault_is_found_where_it_is(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "rtl"
    design, graph = stitched(name, folder)
    faults = Faults(folder, design, random.Random(11))
    tried = 0
    for fault in (faults.draw(kind) for kind in KINDS for _ in range(EACH)):
        if fault is None:
            continue
        tried += 1
        path = folder / fault.file
        before = path.read_text(encoding="utf-8")
        path.write_text(fault.text, encoding="utf-8")
        ledger = check_design(folder, design, graph)
        told = f"{fault.kind}: {fault.file}, {fault.what}"
        if not ledger.listed:
            assert fault.kind in ("threshold", "constant"), told
            assert changes_nothing(folder, design, graph, fault), told
        elif fault.layer:
            assert ledger.listed[0].layer == fault.layer, told
        path.write_text(before, encoding="utf-8")
    assert tried >= 4 * EACH
    assert check_design(folder, design, graph).differing == 0

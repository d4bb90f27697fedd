"""Designs as they are stitched: every number of the network is found in their files."""

from __future__ import annotations

from pathlib import Path

import pytest
from memory_designs import DESIGNS, stitched

from qdeploy.ir.integer_graph import Bias, Conv, Dense, Threshold
from qdeploy.verify.memories.design import check_design


@pytest.mark.parametrize("name", DESIGNS)
def test_nothing_differs_and_nothing_is_left_out(name: str, tmp_path: Path) -> None:
    design, graph = stitched(name, tmp_path / "rtl")
    ledger = check_design(tmp_path / "rtl", design, graph)
    assert [one.sentence() for one in ledger.listed] == []
    counted = ledger.counted
    assert counted["layers"] == len(design.layers)
    weights = sum(n.weights.size for n in graph.nodes if isinstance(n, Conv | Dense))
    assert counted["weights"] == weights <= counted["weights read"]
    assert counted["thresholds"] == sum(
        n.thresholds.size for n in graph.nodes if isinstance(n, Threshold)
    )
    assert counted["biases"] == sum(n.bias.size for n in graph.nodes if isinstance(n, Bias))
    assert {*ledger.used} == {*design.memories}
    lines = sum(len((tmp_path / "rtl" / name).read_text().split()) for name in design.memories)
    assert counted["words"] == lines

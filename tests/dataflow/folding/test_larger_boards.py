"""What larger boards would give: a faster folding, bounded by the bandwidth of the DMA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from random_graphs import small_convnet

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.estimates import write_estimates
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.fold import fold
from qdeploy.dataflow.folding.larger_boards import (
    estimate_larger_boards,
    larger_boards,
    write_boards,
)
from qdeploy.devices.boards import list_boards, load_board

SMALL = Budget(lut=3500, bram36=10, dsp=4)


@pytest.fixture(scope="module")
def model():
    return hardware_layers(small_convnet().graph())


@pytest.fixture(scope="module")
def folding(model):
    return fold(model, SMALL)


def test_the_next_two_sizes_are_looked_at_smallest_first() -> None:
    names = [board.name for board in larger_boards(load_board("pynq-z2"))]
    assert names == ["aup-zu3", "ultra96-v2", "kv260"]
    assert "pynq-z1" in list_boards()


def test_a_larger_board_is_faster_and_within_its_limit(folding) -> None:
    found = estimate_larger_boards(folding, 2048, load_board("pynq-z2"))
    assert found
    for one in found:
        board = load_board(one.board)
        assert one.cycles_per_frame < folding.solution.cycles
        assert one.fps == board.clock_mhz * 1e6 / one.cycles_per_frame
        assert one.lut <= 0.8 * board.resources.lut
        assert not one.dma_bound


def test_the_bandwidth_of_the_dma_bounds_the_rate(folding) -> None:
    for one in estimate_larger_boards(folding, 10**6, load_board("pynq-z2")):
        assert one.dma_bound
        assert one.cycles_per_frame == -(-(10**6) // load_board(one.board).dma_bits)


def test_the_largest_board_is_told_so(folding, tmp_path: Path) -> None:
    said = write_boards(tmp_path, folding, 2048, load_board("zcu104"))
    data = json.loads((tmp_path / "boards.json").read_text())
    assert data["boards"] == []
    assert said == data["note"]
    assert "no known board is larger than `zcu104`" in said


def test_estimates_of_both_tools_are_there_for_every_unit(model, folding, tmp_path: Path) -> None:
    write_estimates(tmp_path, model, "xc7z020clg400-1", load_costs())
    layers = json.loads((tmp_path / "estimates.json").read_text())["layers"]
    assert list(layers) == [node.name for node in model.graph.node]
    units = {name: one for name, one in layers.items() if name.endswith("_mvau")}
    assert units
    for one in units.values():
        assert one["qdeploy"]["lut"] > 0
        assert one["finn"]["lut"] + one["finn"]["dsp"] > 0  # FINN's RTL unit is made of DSP blocks
    assert sum(one["qdeploy"]["lut"] for one in layers.values()) <= folding.solution.usage.lut

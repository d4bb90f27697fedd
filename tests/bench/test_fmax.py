"""The clock bench: every block a unit instantiates is in it, and its figures are of real runs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

import qdeploy
from qdeploy.dataflow.cost.blocks import FEATURES
from qdeploy.synth.nextpnr import NextPnr

ROOT = Path(qdeploy.__file__).resolve().parent.parent


@pytest.fixture
def fmax(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    import fmax

    return fmax


def test_every_block_that_a_unit_instantiates_is_timed_under_a_name_of_its_own(
    fmax: ModuleType,
) -> None:
    blocks = list(fmax.timed_blocks())
    assert {block.block.module for block in blocks} == set(FEATURES)
    assert len({block.name for block in blocks}) == len(blocks)
    for block in blocks:
        files = {str(v) for k, v in block.block.parameters.items() if k.endswith("FILE")}
        assert bool(files) == bool(block.memories)


def test_a_fork_is_faster_than_a_wide_sum(fmax: ModuleType, tmp_path: Path) -> None:
    blocks = {block.block.module: block for block in fmax.timed_blocks()}
    tool = NextPnr(tmp_path / "store")
    fork, sums = (fmax.time_block(blocks[name], tool) for name in ("qd_fork", "qd_add"))
    assert fork.fmax_mhz > sums.fmax_mhz > 100


def test_a_block_in_a_stream_is_no_faster_than_the_memory_that_feeds_it(
    fmax: ModuleType, tmp_path: Path
) -> None:
    fork = next(one for one in fmax.timed_blocks() if one.block.module == "qd_fork")
    found = fmax.time_block(fork, NextPnr(tmp_path / "store"), fed=True)
    assert found.used["DP16KD"] >= 2  # 64 bits
    assert 100 < found.fmax_mhz < 1e3 / 5.6  # the clock-to-out of a block RAM


def test_every_input_and_output_of_a_block_gets_its_neighbour(fmax: ModuleType) -> None:
    for one in fmax.timed_blocks():
        unit = fmax.in_a_stream(one.block)
        assert (unit.in_bits, unit.out_bits) == (list(one.block.in_bits), list(one.block.out_bits))
        fifos = [each for each in unit.instances if each.block is not one.block]
        depths = [each.block.parameters["DEPTH"] for each in fifos]
        assert depths == [300] * len(unit.in_bits) + [1] * len(unit.out_bits)

"""As fast as fits never chooses a beat that the host cannot send."""

from __future__ import annotations

from pathlib import Path

import pytest
from hand_made_graphs import dense_graph

from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.errors import FoldingError
from qdeploy.targets.pynq.shell import DMA_MAX_BYTES_PER_BEAT, dma_bytes

BOARD = load_board("pynq-z2")


@pytest.mark.parametrize("features", [131, 262, 490])
def test_the_fastest_folding_keeps_to_the_dma(features: int, tmp_path: Path) -> None:
    graph = dense_graph(features)
    design = compile_graph(
        graph, BOARD, tmp_path / "rtl", widest_beat=DMA_MAX_BYTES_PER_BEAT
    ).design
    assert dma_bytes(design.input) <= DMA_MAX_BYTES_PER_BEAT
    # The most elements that divide a frame and fit a beat, or as few as the DMA can feed.
    most = max(n for n in range(1, DMA_MAX_BYTES_PER_BEAT + 1) if features % n == 0)
    assert design.input.per_beat == most or most * BOARD.dma_bits >= 8 * features


def test_without_a_limit_a_beat_takes_all(tmp_path: Path) -> None:
    design = compile_graph(dense_graph(131), BOARD, tmp_path / "rtl").design
    assert design.input.per_beat == 131


def test_a_limit_below_one_element_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FoldingError, match="has no folding whose beats have at most 0 bytes"):
        compile_graph(dense_graph(4), BOARD, tmp_path / "rtl", widest_beat=0)

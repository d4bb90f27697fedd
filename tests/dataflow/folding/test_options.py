"""What the listed foldings say of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import small_convnet

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.finn.timing import parallel_cycles
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint
from qdeploy.dataflow.folding.fold import fold
from qdeploy.dataflow.rates import cycles_for, cycles_to_arrive
from qdeploy.devices.boards import load_board
from qdeploy.errors import FoldingError

BUDGET = Budget(lut=53200, bram36=140, dsp=220)


def walked(
    shape: tuple[int, int],
    spans: tuple[int, int],
    strides: tuple[int, int],
    interval: int,
    ahead: bool,
) -> int:
    """Cycles per frame at steady state, pixel by pixel."""
    now, ends = 0, []
    for _ in range(4):
        for y in range(shape[0]):
            for x in range(shape[1]):
                now += 1
                down, across = y - spans[0] + 1, x - spans[1] + 1
                if min(down, across) < 0 or down % strides[0] or across % strides[1]:
                    continue
                begun = max(now, ends[-1] + interval) if ends else now
                # Taken when work on it begins, or already a cycle after work on the last began.
                now = max(now, ends[-1] + 1) if ahead and ends else begun
                ends.append(begun)
    windows = len(ends) // 4
    return ends[-1] - ends[-1 - windows]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_cycles_of_a_parallel_window_are_those_of_a_walk_over_its_pixels(
    data: st.DataObject,
) -> None:
    spans = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    shape = tuple(span + data.draw(st.integers(0, 9)) for span in spans)
    strides = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    interval = data.draw(st.integers(1, 20))
    ahead = data.draw(st.booleans())
    wanted = walked((shape[0], shape[1]), spans, strides, interval, ahead)
    map_ = shape[0], shape[1]
    assert parallel_cycles(map_, spans, strides, interval, ahead=ahead) == wanted


def test_a_rate_above_the_inputs_bandwidth_is_refused_with_the_highest_there_is() -> None:
    graph, board = small_convnet().graph(), load_board("pynq-z2")
    arriving = cycles_to_arrive(graph, board)
    source = graph.tensors[graph.input]
    elements = source.shape[0] * source.shape[1] * source.shape[2]
    assert (arriving - 1) * board.dma_bits < elements * source.dtype.bits
    assert arriving * board.dma_bits >= elements * source.dtype.bits
    assert cycles_for(100e6 / arriving, 100.0, arriving) == arriving
    with pytest.raises(FoldingError, match="more than the board can send") as caught:
        cycles_for(100e6 / (arriving - 1), 100.0, arriving)
    assert f"{int(100e6 / arriving):,}" in str(caught.value.do)


def test_as_fast_as_fits_uses_no_more_of_the_board_than_the_input_can_feed() -> None:
    slow, fast = (hardware_layers(small_convnet().graph()) for _ in range(2))
    fed = fold(slow, BUDGET, min_cycles=500).solution
    assert fed.cycles <= 500
    assert fed.usage.lut < fold(fast, BUDGET).solution.usage.lut


def test_a_constraint_is_met_and_the_rest_follows() -> None:
    model = hardware_layers(small_convnet().graph())
    name = next(n.name for n in model.graph.node if n.op_type.startswith("MVAU"))
    free = fold(model, BUDGET, 5000).attributes[name]
    lanes = {"PE": 2 if free["PE"] != 2 else 1}
    assert (
        fold(model, BUDGET, 5000, constraints=[FoldingConstraint(name, lanes, "test")]).attributes[
            name
        ]["PE"]
        == lanes["PE"]
    )

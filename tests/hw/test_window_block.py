"""qd_window against slices of a numpy array."""

from __future__ import annotations

import numpy as np
import pytest
from block_models import STALLS, Window, cycles_between_frames
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack

LIBRARIES = ("qd_cycle", "qd_level", "qd_stride")
BITS, LANES = 5, 2
CASES = {
    "3x3": Window(CF=1, H=6, W=7, KH=3, KW=3),
    "3x3, stride 2, last row and column dropped, 3 folds": Window(3, 8, 6, 3, 3, 2, 2),
    "5x5, depthwise, 3 folds": Window(3, 6, 5, 5, 5, DEPTHWISE=1),
    "2x2 pooling, depthwise, last row dropped": Window(2, 7, 6, 2, 2, 2, 2, DEPTHWISE=1),
    "3x3 pooling, depthwise, stride 3": Window(1, 9, 11, 3, 3, 3, 3, DEPTHWISE=1),
    "1x1": Window(1, 4, 5, 1, 1),
    "1x1, stride 2": Window(2, 5, 7, 1, 1, 2, 2),
    "1x1, stride 3, wide tail": Window(1, 6, 9, 1, 1, 3, 8),
    "1x7 on one row, stride 2": Window(2, 1, 20, 1, 7, 1, 2),
    "3x2, dilation 2x3": Window(1, 8, 9, 3, 2, 1, 2, 2, 3),
    "the whole frame at once": Window(1, 3, 4, 3, 4),
    "7x3, stride 3x1": Window(1, 12, 5, 7, 3, 3, 1),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    window = request.param
    parameters = dict(WIDTH=BITS * LANES, **window.parameters())
    return window, block_sim(
        "qd_window", parameters, BITS * LANES, BITS * LANES, libraries=LIBRARIES
    )


def frames_of(window, count, seed):
    shape = (count, window.H, window.W, window.CF, LANES)
    return np.random.default_rng(seed).integers(0, 1 << BITS, shape)


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_every_window_of_frames_back_to_back_under_stalls(case, stall_in, stall_out):
    window, sim = case
    frames = frames_of(window, 5, seed=int(10 * stall_in + 100 * stall_out))
    want = np.concatenate([window(frame) for frame in frames])
    result = sim.run(
        [pack(frames, BITS, LANES)], [len(want)], stall_in=stall_in, stall_out=stall_out, seed=11
    )
    got = unpack(result.outputs[0], BITS, LANES, signed=False)
    assert_array_equal(got.reshape(-1, LANES), want)


def test_a_frame_takes_the_larger_of_its_input_and_output_beats(case):
    window, sim = case
    count = 12
    result = sim.run([pack(frames_of(window, count, 1), BITS, LANES)], [count * window.beats_out])
    cycles = cycles_between_frames(result, window.beats_out, count)
    whole_frame = window.out_shape == (1, 1)
    assert cycles == max(window.beats_in, window.beats_out) + whole_frame


def test_fewer_rows_ahead_cost_a_gap_between_frames_only(block_sim):
    window, count = Window(2, 8, 6, 3, 3), 6
    parameters = dict(WIDTH=BITS * LANES, AHEAD=1, **window.parameters())
    sim = block_sim("qd_window", parameters, BITS * LANES, BITS * LANES, libraries=LIBRARIES)
    frames = frames_of(window, count, 2)
    want = np.concatenate([window(frame) for frame in frames])
    result = sim.run([pack(frames, BITS, LANES)], [len(want)])
    assert_array_equal(unpack(result.outputs[0], BITS, LANES, signed=False), want.reshape(-1))
    gap = cycles_between_frames(result, window.beats_out, count) - window.beats_out
    assert 0 < gap <= 3 * window.W * window.CF


def test_a_row_may_be_done_with_before_its_tail_is_written(block_sim):
    """Finished rows then number -1, which must not read as a full ring of three rows."""
    window = Window(1, 6, 16, 1, 1, 3, 9)
    parameters = dict(WIDTH=BITS * LANES, AHEAD=2, **window.parameters())
    sim = block_sim("qd_window", parameters, BITS * LANES, BITS * LANES, libraries=LIBRARIES)
    frames = frames_of(window, 3, 4)
    want = np.concatenate([window(frame) for frame in frames])
    result = sim.run([pack(frames, BITS, LANES)], [len(want)], stall_in=0.5, seed=1)
    assert_array_equal(unpack(result.outputs[0], BITS, LANES, signed=False), want.reshape(-1))


def test_the_first_window_follows_its_last_beat_by_three_cycles(case):
    window, sim = case
    result = sim.run([pack(frames_of(window, 1, 1), BITS, LANES)], [window.beats_out])
    row, column = window.DH * (window.KH - 1), window.DW * (window.KW - 1)
    last_beat = (row * window.W + column + 1) * window.CF - 1
    assert result.output_cycles[0][0] == result.input_cycles[0][last_beat] + 3

"""qd_window_parallel against slices of a numpy array: a whole window per beat."""

from __future__ import annotations

import numpy as np
import pytest
from block_models import STALLS, Window, cycles_between_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack

LIBRARIES = ("qd_cycle", "qd_stride")
BITS, LANES = 3, 2
CASES = {
    "3x3": Window(CF=1, H=6, W=7, KH=3, KW=3),
    "3x3, stride 2, last row and column dropped": Window(1, 8, 6, 3, 3, 2, 2),
    "5x5": Window(1, 6, 5, 5, 5),
    "1x1": Window(1, 4, 5, 1, 1),
    "1x1, stride 3, wide tail": Window(1, 6, 9, 1, 1, 3, 8),
    "1x7 on one row, stride 2": Window(1, 1, 20, 1, 7, 1, 2),
    "7x1 on one column": Window(1, 15, 1, 7, 1, 2, 1),
    "3x2 on two columns": Window(1, 5, 2, 3, 2),
    "3x2, dilation 2x3": Window(1, 8, 9, 3, 2, 1, 2, 2, 3),
    "the whole frame at once": Window(1, 3, 4, 3, 4),
}


def simulator(block_sim, window):
    names = ("H", "W", "KH", "KW", "SH", "SW", "DH", "DW")
    parameters = {name: getattr(window, name) for name in names}
    width = BITS * LANES
    out = width * window.KH * window.KW
    return block_sim(
        "qd_window_parallel", {"WIDTH": width, **parameters}, width, out, libraries=LIBRARIES
    )


def check(window, sim, count, seed, stall_in, stall_out):
    frames = np.random.default_rng(seed).integers(
        0, 1 << BITS, (count, window.H, window.W, 1, LANES)
    )
    want = np.concatenate([window(frame) for frame in frames])
    lanes = LANES * window.KH * window.KW
    beats = len(want) * LANES // lanes
    result = sim.run(
        [pack(frames, BITS, LANES)], [beats], stall_in=stall_in, stall_out=stall_out, seed=seed
    )
    assert_array_equal(unpack(result.outputs[0], BITS, lanes, signed=False), want.reshape(-1))
    return result, beats // count


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    return request.param, simulator(block_sim, request.param)


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_every_window_of_frames_back_to_back_under_stalls(case, stall_in, stall_out):
    window, sim = case
    check(window, sim, 5, int(10 * stall_in + 100 * stall_out), stall_in, stall_out)


def test_a_frame_takes_a_cycle_a_pixel(case):
    window, sim = case
    count = 12
    result, beats = check(window, sim, count, 1, 0.0, 0.0)
    assert cycles_between_frames(result, beats, count) == window.H * window.W


def test_a_window_is_out_two_cycles_after_its_last_pixel(case):
    window, sim = case
    result, _ = check(window, sim, 1, 2, 0.0, 0.0)
    last = window.DH * (window.KH - 1) * window.W + window.DW * (window.KW - 1)
    assert result.output_cycles[0][0] == result.input_cycles[0][last] + 2


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_shape_gives_the_windows_of_the_model(data, block_sim):
    kernel, stride, dilation, size = [], [], [], []
    for _ in range(2):
        kernel.append(data.draw(st.integers(1, 4)))
        stride.append(data.draw(st.integers(1, 3)))
        dilation.append(data.draw(st.integers(1, 3)))
        span = dilation[-1] * (kernel[-1] - 1) + 1
        size.append(data.draw(st.integers(span, span + 6)))
    window = Window(1, *size, *kernel, *stride, *dilation)
    check(window, simulator(block_sim, window), 3, data.draw(st.integers(0, 99)), 0.3, 0.3)

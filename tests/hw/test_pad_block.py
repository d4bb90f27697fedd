"""qd_pad against numpy.pad."""

from __future__ import annotations

import numpy as np
import pytest
from block_models import STALLS, cycles_between_frames
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack

LIBRARIES = ("qd_cycle", "qd_interior", "qd_skid")
BITS = 3
# CF, H, W, (top, left, bottom, right), lanes
SHAPES = {
    "square, one all round": (1, 6, 6, (1, 1, 1, 1), 2),
    "not square, every side different": (3, 4, 7, (0, 2, 3, 1), 1),
    "one row": (2, 1, 11, (0, 3, 0, 3), 3),
    "one pixel": (1, 1, 1, (2, 2, 1, 0), 1),
    "no padding": (2, 3, 5, (0, 0, 0, 0), 1),
    "only before": (1, 5, 3, (2, 1, 0, 0), 5),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys(), scope="module")
def case(request, block_sim):
    fold, height, width, (top, left, bottom, right), lanes = request.param
    value = 5 if lanes > 2 else 0
    parameters = dict(WIDTH=lanes * BITS, CF=fold, H=height, W=width)
    parameters |= dict(PT=top, PL=left, PB=bottom, PR=right, BITS=BITS, VALUE=value)
    sim = block_sim("qd_pad", parameters, lanes * BITS, lanes * BITS, libraries=LIBRARIES)
    sides = ((0, 0), (top, bottom), (left, right), (0, 0), (0, 0))

    def model(frames):
        return np.pad(frames, sides, constant_values=value)

    return sim, (fold, height, width, lanes), model


@pytest.mark.parametrize(("stall_in", "stall_out"), STALLS)
def test_pads_frames_back_to_back_under_stalls(case, stall_in, stall_out):
    sim, (fold, height, width, lanes), model = case
    rng = np.random.default_rng(int(10 * (stall_in + 3 * stall_out)))
    frames = rng.integers(0, 1 << BITS, (4, height, width, fold, lanes))
    want = model(frames)
    result = sim.run(
        [pack(frames, BITS, lanes)],
        [want.size // lanes],
        stall_in=stall_in,
        stall_out=stall_out,
        seed=7,
    )
    assert_array_equal(unpack(result.outputs[0], BITS, lanes, signed=False), want.reshape(-1))


def test_puts_out_a_beat_every_cycle(case):
    sim, (fold, height, width, lanes), model = case
    frames = np.zeros((5, height, width, fold, lanes), np.int64)
    beats = model(frames).size // lanes // 5
    result = sim.run([pack(frames, BITS, lanes)], [5 * beats])
    assert cycles_between_frames(result, beats, 5) == beats
    assert result.output_cycles[0][-1] <= 5 * beats + 2

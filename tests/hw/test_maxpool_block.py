"""qd_maxpool against numpy's maximum."""

from __future__ import annotations

import numpy as np
import pytest
from block_models import STALLS
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack

LIBRARIES = ("qd_cycle", "qd_skid")
# K, PE, BITS, SIGNED
CASES = [(4, 1, 2, 0), (9, 3, 4, 1), (2, 8, 1, 0), (3, 5, 1, 1), (1, 2, 8, 1), (25, 1, 8, 0)]


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request, block_sim):
    group, lanes, bits, signed = request.param
    parameters = dict(K=group, PE=lanes, BITS=bits, SIGNED=signed)
    sim = block_sim("qd_maxpool", parameters, lanes * bits, lanes * bits, libraries=LIBRARIES)
    low = -(1 << (bits - 1)) if signed else 0
    return sim, group, lanes, bits, signed, (low, low + (1 << bits) - 1)


@pytest.mark.parametrize(("stall_in", "stall_out"), STALLS)
def test_is_the_maximum_of_each_lane_under_stalls(case, stall_in, stall_out):
    sim, group, lanes, bits, signed, (low, high) = case
    rng = np.random.default_rng(3)
    codes = rng.integers(low, high + 1, (120, group, lanes))
    codes[:10], codes[10:20] = low, high
    result = sim.run(
        [pack(codes, bits, lanes)], [120], stall_in=stall_in, stall_out=stall_out, seed=5
    )
    got = unpack(result.outputs[0], bits, lanes, signed=bool(signed))
    assert_array_equal(got.reshape(120, lanes), codes.max(axis=1))


def test_takes_a_beat_every_cycle(case):
    sim, group, lanes, bits, _, (low, _) = case
    codes = np.full((40, group, lanes), low)
    result = sim.run([pack(codes, bits, lanes)], [40])
    taken = result.input_cycles[0]
    assert taken[-1] - taken[0] == 40 * group - 1
    assert result.output_cycles[0][-1] == taken[-1] + 1

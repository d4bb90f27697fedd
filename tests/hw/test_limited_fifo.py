"""The stand-in whose depth is an input behaves like the FIFO of that depth, to the cycle."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

WIDTH = 7
BEATS = np.random.default_rng(0).integers(0, 1 << WIDTH, (400, 1)).astype(np.uint8)
FILL = [("fill", 16)]


@pytest.fixture(scope="session")
def limited(block_sim):
    return block_sim(
        "qd_fifo_limited",
        {"WIDTH": WIDTH, "DEPTH": 64},
        WIDTH,
        WIDTH,
        probes=FILL,
        controls=[("limit", 16)],
    )


@pytest.mark.parametrize("depth", [2, 3, 32, 33, 64])
def test_a_limit_is_a_fifo_of_that_depth_to_the_cycle(block_sim, limited, depth):
    real = block_sim("qd_fifo", {"WIDTH": WIDTH, "DEPTH": depth}, WIDTH, WIDTH, probes=FILL)
    for seed, stalls in enumerate([(0.0, 0.0), (0.3, 0.0), (0.1, 0.3), (0.5, 0.5), (0.3, 0.8)]):
        expected = real.run([BEATS], [len(BEATS)], 1, *stalls, seed=seed)
        found = limited.run([BEATS], [len(BEATS)], 1, *stalls, seed=seed, controls={"limit": depth})
        assert_array_equal(found.outputs[0], expected.outputs[0])
        assert_array_equal(found.input_cycles[0], expected.input_cycles[0])
        assert_array_equal(found.output_cycles[0], expected.output_cycles[0])
        assert found.probe_max == expected.probe_max


def test_the_limit_zero_is_a_wire(limited):
    found = limited.run([BEATS], [len(BEATS)], 1, 0.3, 0.4, seed=5, controls={"limit": 0})
    assert_array_equal(found.outputs[0], BEATS)
    assert_array_equal(found.input_cycles[0], found.output_cycles[0])
    assert found.probe_max["fill"] == 0


@settings(max_examples=40, deadline=None)
@given(
    cycles=st.integers(0, 5_000),
    beats=st.integers(1, 1_000),
    limit=st.sampled_from([0, 2, 5]),
)
def test_a_paced_input_never_drifts(limited, cycles, beats, limit):
    pace = Fraction(cycles, beats)
    count = min(len(BEATS), 2 + int(20_000 / max(pace, 1)))
    found = limited.run([BEATS[:count]], [count], pace=[pace], controls={"limit": limit})
    # The FIFO always takes what comes, so a beat goes in when it is due, or one cycle after the
    # beat before it.
    due = [ceil(index * pace) for index in range(count)]
    accepted = found.input_cycles[0]
    assert accepted[0] == 0
    for index in range(1, count):
        assert accepted[index] == max(due[index], accepted[index - 1] + 1)


def test_stalls_only_delay_a_paced_input(limited):
    pace = Fraction(7, 3)
    found = limited.run([BEATS], [400], 1, 0.4, 0.2, seed=1, pace=[pace], controls={"limit": 4})
    assert all(cycle >= index * pace for index, cycle in enumerate(found.input_cycles[0]))
    assert_array_equal(found.outputs[0], BEATS)

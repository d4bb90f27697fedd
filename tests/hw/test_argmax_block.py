"""qd_argmax against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack


@pytest.mark.parametrize(
    "count, pe, bits, index_bits", [(10, 1, 12, 4), (10, 5, 3, 4), (10, 10, 16, 4), (21, 3, 8, 5)]
)
def test_the_lowest_index_of_the_largest_wins(block_sim, count, pe, bits, index_bits):
    parameters = {"N": count, "PE": pe, "BITS": bits, "IDX": index_bits}
    sim = block_sim("qd_argmax", parameters, pe * bits, index_bits, libraries=("qd_fifo",))
    rng = np.random.default_rng(count * pe)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    frames = np.concatenate(
        [
            rng.integers(low, high + 1, (150, count)),
            rng.integers(-1, 2, (100, count)),  # many ties
            np.full((1, count), low),
            rng.integers(low, low + 2, (50, count)),
        ]
    )
    beats = pack(frames, bits, pe)
    for seed, (stall_in, stall_out) in enumerate([(0.0, 0.0), (0.5, 0.2), (0.1, 0.8)]):
        result = sim.run([beats], [len(frames)], stall_in=stall_in, stall_out=stall_out, seed=seed)
        got = unpack(result.outputs[0], index_bits, 1, signed=False)
        assert_array_equal(got, frames.argmax(axis=1))
        if stall_in == stall_out == 0:
            assert result.cycles <= len(beats) + 8

"""qd_threshold against counting in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.dataflow.rtl.memories import threshold_files
from qdeploy.design.packing import pack, unpack

LIBRARIES = ("qd_fifo", "qd_threshold_stage")
# channels, PE, accumulator bits, levels, output bits, base, search: one level to 255, padded and
# exact searches, one, several and many folds, signed and unsigned codes, the output wrapping, more
# than ten stages, more than a thousand lanes.
CASES = [
    (6, 2, 9, 3, 2, 0, 0),
    (4, 4, 6, 1, 1, 0, 0),
    (3, 1, 12, 15, 4, -8, 0),
    (5, 1, 10, 16, 5, 0, 0),
    (8, 4, 14, 100, 7, -50, 0),
    (2, 2, 20, 255, 8, 0, 0),
    (13, 13, 11, 31, 3, 0, 0),
    (34, 2, 9, 7, 3, 0, 0),
    (12, 3, 10, 15, 4, 0, 1),
    (4, 4, 8, 7, 3, -4, 1),
    (6, 1, 9, 9, 4, 0, 1),
    (2, 1, 14, 1500, 11, 0, 0),
    (1001, 1001, 6, 1, 1, 0, 1),
]


def table(rng, channels, levels, acc_bits):
    """Ascending thresholds; repeated ones, the lowest and the highest value among them."""
    low, high = -(1 << (acc_bits - 1)), (1 << (acc_bits - 1)) - 1
    thresholds = np.sort(rng.integers(low, high + 1, (channels, levels)), axis=1)
    thresholds[0, -1] = high
    thresholds[-1, 0] = low - 5  # below every accumulator: always met
    return thresholds


@pytest.mark.parametrize("channels, pe, acc_bits, levels, out_bits, base, search", CASES)
def test_codes_count_the_thresholds_met(
    block_sim, channels, pe, acc_bits, levels, out_bits, base, search
):
    rng = np.random.default_rng(levels)
    thresholds = table(rng, channels, levels, acc_bits)
    parameters = {
        "C": channels,
        "PE": pe,
        "ACC": acc_bits,
        "NT": levels,
        "OB": out_bits,
        "BASE": base,
        "SEARCH": search,
        "TFILE": "t",
    }
    memories = threshold_files("t", thresholds, pe, acc_bits, search=bool(search))
    sim = block_sim(
        "qd_threshold", parameters, pe * acc_bits, pe * out_bits, memories, libraries=LIBRARIES
    )
    accs = accumulators(rng, thresholds, acc_bits, vectors=400)
    codes = base + (accs[:, :, None] >= thresholds).sum(axis=2)
    wrapped = codes & ((1 << out_bits) - 1)
    beats = pack(accs, acc_bits, pe)
    for seed, (stall_in, stall_out) in enumerate([(0.0, 0.0), (0.3, 0.6), (0.6, 0.3)]):
        result = sim.run([beats], [len(beats)], stall_in=stall_in, stall_out=stall_out, seed=seed)
        got = unpack(result.outputs[0], out_bits, pe, signed=False).reshape(codes.shape)
        assert_array_equal(got, wrapped)
        if stall_in == stall_out == 0:
            parallel = 3 + (channels // pe > 16)
            at_once = levels <= 15 and not search
            latency = parallel if at_once else 2 * levels.bit_length() + 2
            assert_array_equal(result.output_cycles[0], result.input_cycles[0] + latency)
    assert len(np.unique(codes)) > min(levels, 40) // 2


def accumulators(rng, thresholds, acc_bits, vectors):
    """Accumulators at a threshold, beside one, anywhere, and at both ends of the range."""
    low, high = -(1 << (acc_bits - 1)), (1 << (acc_bits - 1)) - 1
    channels, levels = thresholds.shape
    picked = thresholds[np.arange(channels), rng.integers(0, levels, (vectors, channels))]
    accs = picked + rng.integers(-1, 2, picked.shape)
    anywhere = rng.random(picked.shape) < 0.3
    accs[anywhere] = rng.integers(low, high + 1, int(anywhere.sum()))
    accs[0], accs[1] = low, high
    return np.clip(accs, low, high)

"""qd_global_sum against numpy's sum over the pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType

FRAMES = 12


@dataclass(frozen=True)
class Pool:
    """Parameters of a `qd_global_sum`; the width of the sums is the narrowest that holds them."""

    PE: int
    BITS: int
    SIGNED: int
    CF: int
    PIXELS: int

    @property
    def codes(self):
        return IntType(self.BITS, bool(self.SIGNED))

    @property
    def sums(self):
        kind = self.codes
        if self.SIGNED:
            return IntType.holding(kind.lo * self.PIXELS, kind.hi * self.PIXELS)
        return IntType(max(1, math.ceil(math.log2(kind.hi * self.PIXELS + 1))), False)

    @property
    def beats(self):
        """Of an input frame."""
        return self.PIXELS * self.CF

    def frames(self, seed):
        """(FRAMES, PIXELS, CF, PE) codes; the first two frames are all lowest and all highest."""
        kind = self.codes
        shape = (FRAMES, self.PIXELS, self.CF, self.PE)
        codes = np.random.default_rng(seed).integers(kind.lo, kind.hi + 1, shape)
        codes[0], codes[1] = kind.lo, kind.hi
        return codes


CASES = {
    "8x8, 4 bits": Pool(2, 4, 0, 4, 64),
    "one fold": Pool(5, 3, 1, 1, 49),
    "two folds": Pool(1, 8, 0, 2, 9),
    "one lane, many folds, signed": Pool(1, 8, 1, 37, 7),
    "single pixels": Pool(3, 4, 1, 3, 1),
    "single pixels, one fold": Pool(2, 2, 0, 1, 1),
    "single bits": Pool(7, 1, 0, 3, 5),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    unit = request.param
    sim = block_sim(
        "qd_global_sum",
        dict(vars(unit), OB=unit.sums.bits),
        unit.PE * unit.BITS,
        unit.PE * unit.sums.bits,
        libraries=("qd_cycle", "qd_skid"),
    )
    return unit, sim


def run(unit, sim, codes, **options):
    beats = pack(codes, unit.BITS, unit.PE)
    result = sim.run([beats], [FRAMES * unit.CF], **options)
    got = unpack(result.outputs[0], unit.sums.bits, unit.PE, signed=bool(unit.SIGNED))
    return got.reshape(FRAMES, unit.CF, unit.PE), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_each_channels_sum_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    codes = unit.frames(seed=int(10 * stall_in + 100 * stall_out))
    got, _ = run(unit, sim, codes, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, codes.sum(axis=1))


def test_takes_a_beat_every_cycle_over_frame_ends(case):
    unit, sim = case
    _, result = run(unit, sim, unit.frames(seed=1))
    taken = result.input_cycles[0]
    assert_array_equal(np.diff(taken), 1)
    # Sums leave one cycle after the last pixel's beats.
    last_pixels = taken.reshape(FRAMES, unit.beats)[:, -unit.CF :].reshape(-1)
    assert_array_equal(result.output_cycles[0], last_pixels + 1)


def test_a_stalling_receiver_stops_only_a_frames_last_pixel(case):
    unit, sim = case
    _, result = run(unit, sim, unit.frames(seed=1), stall_out=0.8, seed=6)
    taken = result.input_cycles[0].reshape(FRAMES, unit.PIXELS, unit.CF)
    if unit.PIXELS == 1:  # every pixel is a last one
        assert (np.diff(result.input_cycles[0]) > 1).any()
        return
    # From the last but one pixel's end back to the first beat, and to the frame before, no gap.
    inner = taken[:, : unit.PIXELS - 1].reshape(FRAMES, -1)
    assert_array_equal(np.diff(inner, axis=1), 1)
    assert_array_equal(taken[1:, 0, 0] - taken[:-1, -1, -1], 1)

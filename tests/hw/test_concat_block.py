"""qd_concat and qd_beside against numpy's concatenate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType


@dataclass(frozen=True)
class Join:
    """Two streams of codes (bits, signed), with so many channels; `lanes` of both, 0 for all."""

    channels: tuple[int, int]
    lanes: int
    codes: tuple[tuple[int, int], tuple[int, int]]
    out: int

    @property
    def each(self) -> tuple[int, int]:
        """Lanes of either stream."""
        return (self.lanes, self.lanes) if self.lanes else self.channels

    def pixels(self, port: int, count: int, seed: int) -> np.ndarray:
        """(count, channels) codes; the first two pixels are all lowest and all highest."""
        bits, signed = self.codes[port]
        kind = IntType(bits, bool(signed))
        shape = (count, self.channels[port])
        codes = np.random.default_rng(seed).integers(kind.lo, kind.hi + 1, shape)
        codes[0], codes[1] = kind.lo, kind.hi
        return codes


CASES = {
    "one beat of each": Join((3, 3), 3, ((4, 0), (4, 0)), 4),
    "more of the first": Join((6, 2), 2, ((2, 0), (2, 0)), 2),
    "more of the second, single lanes": Join((1, 5), 1, ((3, 1), (3, 1)), 3),
    "signed and unsigned": Join((4, 8), 4, ((4, 1), (4, 0)), 5),
    "two widths": Join((4, 2), 2, ((8, 0), (1, 0)), 8),
    "wide output": Join((2, 2), 1, ((2, 1), (5, 0)), 9),
    "side by side": Join((3, 5), 0, ((4, 0), (4, 0)), 4),
    "side by side, signed and unsigned": Join((1, 7), 0, ((1, 0), (6, 1)), 6),
    "side by side, two signs": Join((2, 2), 0, ((4, 1), (4, 0)), 5),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    unit = request.param
    (b0, s0), (b1, s1) = unit.codes
    first, second = unit.each
    parameters = dict(B0=b0, S0=s0, B1=b1, S1=s1, OB=unit.out)
    if unit.lanes:
        folds = [channels // unit.lanes for channels in unit.channels]
        parameters |= dict(PE=unit.lanes, CF0=folds[0], CF1=folds[1])
    else:
        parameters |= dict(L0=first, L1=second)
    sim = block_sim(
        "qd_concat" if unit.lanes else "qd_beside",
        parameters,
        libraries=("qd_cycle", "qd_skid") if unit.lanes else ("qd_skid",),
        inputs=[("s0", first * b0), ("s1", second * b1)],
        outputs=[("m", (unit.lanes or first + second) * unit.out)],
    )
    return unit, sim


def run(unit, sim, x, y, **options):
    (b0, _), (b1, _) = unit.codes
    lanes = unit.lanes or sum(unit.channels)
    inputs = [pack(x, b0, unit.each[0]), pack(y, b1, unit.each[1])]
    count = len(x) * sum(unit.channels) // lanes
    result = sim.run(inputs, [count], **options)
    signed = any(sign for _, sign in unit.codes)
    found = unpack(result.outputs[0], unit.out, lanes, signed=signed)
    return found.reshape(len(x), -1), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_the_channels_of_both_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    x, y = unit.pixels(0, 120, seed=1), unit.pixels(1, 120, seed=2)
    got, _ = run(unit, sim, x, y, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, np.concatenate([x, y], axis=1))


def test_puts_out_a_beat_every_cycle(case):
    unit, sim = case
    x, y = unit.pixels(0, 100, seed=1), unit.pixels(1, 100, seed=2)
    _, result = run(unit, sim, x, y)
    assert_array_equal(np.diff(result.output_cycles[0]), 1)
    assert result.output_cycles[0][0] == result.input_cycles[0][0] + 1

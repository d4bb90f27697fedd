"""qd_requant against Python's integers, which do not overflow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from block_models import STALLS
from numpy.testing import assert_array_equal

from qdeploy.dataflow.rtl.library import closure
from qdeploy.dataflow.rtl.memories import wide_lines
from qdeploy.design.packing import pack, unpack

LIBRARIES = [name.removesuffix(".v") for name in closure(["qd_requant"]) if name != "qd_requant.v"]
VECTORS = 60


@dataclass(frozen=True)
class Unit:
    """Parameters of a `qd_requant`; multipliers and biases follow from a seed."""

    C: int
    PE: int
    ACC: int
    MB: int
    BB: int
    SHIFT: int
    OB: int = 8
    LO: int = 0
    HI: int = 255
    USE_DSP: int = 1
    EVEN: int = 0

    @property
    def latency(self):
        """Cycles from a beat to its codes."""
        two_products = (24 if self.ACC <= 18 else 17) < self.MB
        return (1 + two_products if self.USE_DSP else self.MB) + 5

    def multipliers(self):
        """C Python integers; the ends of the range are among them."""
        rng = np.random.default_rng(self.C)
        drawn = [int(m) for m in rng.integers(0, 1 << self.MB, self.C)]
        return [(1 << self.MB) - 1, *drawn[1:-1], 0] if self.C > 1 else drawn

    def biases(self):
        """C Python integers, spread over what a code needs; the ends of the range among them."""
        rng = np.random.default_rng(self.C + 1)
        top = 1 << (self.BB - 1)
        reach = min(top, self.HI << self.SHIFT)
        drawn = [int(b) for b in rng.integers(-reach, reach, self.C)]
        if self.C > 3:
            drawn[0], drawn[2] = -top, top - 1
        return drawn

    def accs(self, seed):
        """(VECTORS, C): a third over the whole range, the rest where codes are not saturated."""
        rng = np.random.default_rng(seed)
        top = 1 << (self.ACC - 1)
        accs = rng.integers(-top, top, (VECTORS, self.C))
        for channel, (m, b) in enumerate(zip(self.multipliers(), self.biases(), strict=True)):
            if m:
                codes = rng.integers(self.LO, self.HI + 1, VECTORS)
                centre = [((int(code) << self.SHIFT) - b) // m for code in codes]
                near = np.clip([float(c) for c in centre], -top, top - 1).astype(np.int64)
                accs[: 2 * VECTORS // 3, channel] = near[: 2 * VECTORS // 3]
        accs[0], accs[1] = -top, top - 1
        return accs

    def code(self, acc, m, b):
        """One code; with EVEN a value without a rest is rounded down to an even one."""
        value = acc * m + b
        code = value >> self.SHIFT
        if self.EVEN and code << self.SHIFT == value and code % 2:
            code -= 1
        return min(max(code, self.LO), self.HI)

    def result(self, accs):
        """Codes (VECTORS, C)."""
        M, B = self.multipliers(), self.biases()
        return np.array(
            [
                [self.code(int(acc), m, b) for acc, m, b in zip(row, M, B, strict=True)]
                for row in accs
            ]
        )


CASES = {
    "8 bits from 16": Unit(8, 2, 16, 8, 24, 14),
    "in tables": Unit(8, 2, 16, 8, 24, 14, USE_DSP=0),
    "signed codes": Unit(6, 3, 12, 10, 20, 11, LO=-128, HI=127),
    "narrow range, 5 bits": Unit(9, 1, 14, 6, 18, 10, OB=5, LO=-15, HI=15, USE_DSP=0),
    "wider than a machine word": Unit(5, 5, 31, 30, 60, 45),
    "wider than a machine word, in tables": Unit(4, 1, 31, 24, 60, 40, USE_DSP=0),
    "two products of a narrow accumulator": Unit(4, 2, 18, 25, 44, 34),
    "just one product": Unit(4, 2, 25, 17, 44, 33),
    "no shift": Unit(4, 4, 8, 1, 9, 0, OB=6, HI=63, USE_DSP=0),
    "one channel": Unit(1, 1, 10, 5, 15, 6, OB=7, HI=99),
    "bias wider than product": Unit(8, 4, 6, 3, 40, 4, LO=-100, HI=100),
    "half to even": Unit(6, 2, 8, 3, 9, 3, OB=6, HI=63, EVEN=1),
    "half to even, signed": Unit(6, 3, 8, 2, 8, 2, OB=6, LO=-32, HI=31, EVEN=1, USE_DSP=0),
    "half to even, no shift": Unit(4, 4, 8, 1, 9, 0, OB=6, HI=63, EVEN=1, USE_DSP=0),
    "product far smaller than the code": Unit(4, 2, 4, 2, 4, 1, OB=16, LO=-30000, HI=30000),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    unit = request.param
    memories = {
        "m.hex": wide_lines(unit.multipliers(), unit.PE, unit.MB),
        "b.hex": wide_lines(unit.biases(), unit.PE, unit.BB),
    }
    sim = block_sim(
        "qd_requant",
        dict(vars(unit), MFILE="m.hex", BFILE="b.hex"),
        unit.PE * unit.ACC,
        unit.PE * unit.OB,
        memories=memories,
        libraries=LIBRARIES,
    )
    return unit, sim


def run(unit, sim, accs, **options):
    beats = pack(accs, unit.ACC, unit.PE)
    result = sim.run([beats], [len(beats)], **options)
    got = unpack(result.outputs[0], unit.OB, unit.PE, signed=unit.LO < 0)
    return got.reshape(accs.shape), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_exact_codes_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    accs = unit.accs(seed=int(10 * stall_in + 100 * stall_out))
    got, _ = run(unit, sim, accs, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, unit.result(accs))


def test_takes_a_beat_every_cycle(case):
    unit, sim = case
    _, result = run(unit, sim, unit.accs(seed=1))
    assert_array_equal(np.diff(result.input_cycles[0]), 1)
    assert_array_equal(result.output_cycles[0] - result.input_cycles[0], unit.latency)


def test_codes_are_spread(case):
    """Guards the other tests: codes that are all alike would prove little."""
    unit, _ = case
    assert len(np.unique(unit.result(unit.accs(seed=1)))) >= min(unit.HI - unit.LO, 30) // 2


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("half to even")])
def test_ties_of_odd_codes_are_among_the_accumulators(name):
    """Guards the tests above for the units that round half to even."""
    unit = CASES[name]
    half_up = replace(unit, EVEN=0)
    accs = unit.accs(seed=0)
    assert (unit.result(accs) != half_up.result(accs)).sum() >= 10

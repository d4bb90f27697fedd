"""qd_mvu against numpy: every product, every threshold, every cycle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS, count_reached, folded_matvec
from numpy.testing import assert_array_equal

from qdeploy.dataflow.rtl.library import closure
from qdeploy.dataflow.rtl.memories import threshold_lines, weight_lines
from qdeploy.dataflow.rtl.products import READ_MEMORY, READ_TABLES, DotKind
from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType

LIBRARIES = [name.removesuffix(".v") for name in closure(["qd_mvu"]) if name != "qd_mvu.v"]


@dataclass(frozen=True)
class Unit:
    """Parameters of a `qd_mvu`; weights, thresholds and accumulator width follow from a seed."""

    MW: int
    MH: int
    PE: int
    SIMD: int
    WB: int = 2
    AB: int = 2
    ASIGNED: int = 0
    NT: int = 3
    BASE: int = 0
    DOT: DotKind = DotKind.PLANES
    USE_DSP: int = 0
    READ: int = READ_MEMORY
    WRAM_STYLE: str = "auto"

    @property
    def inputs(self) -> IntType:
        return IntType(self.AB, bool(self.ASIGNED))

    @property
    def cycles(self) -> int:
        """A vector's, at steady state."""
        return self.MW // self.SIMD * (self.MH // self.PE)

    def weights(self):
        """(MH, MW); the first rows are the extremes, so that sums reach both ends."""
        low = -(1 << (self.WB - 1))
        W = np.random.default_rng(self.MW * 97 + self.MH).integers(low, -low, (self.MH, self.MW))
        W[0] = low
        if self.MH > 1:
            W[1] = -low - 1
        return W

    def acc_bits(self):
        """The narrowest width that holds every sum."""
        W, kind = self.weights(), self.inputs
        ends = np.stack([W * kind.lo, W * kind.hi])
        lo, hi = int(ends.min(0).sum(1).min()), int(ends.max(0).sum(1).max())
        return IntType.holding(min(lo, -1), hi).bits

    def thresholds(self):
        """(MH, NT) ascending, spread over each row's range, repeats and extremes included."""
        rng = np.random.default_rng(5)
        X = rng.integers(self.inputs.lo, self.inputs.hi + 1, (200, self.MW))
        acc = folded_matvec(X, self.weights())
        T = np.sort(acc[rng.permutation(200)[: self.NT]].T, axis=1)
        T[0, 0] = -(1 << (self.acc_bits() - 1))
        return T

    def vectors(self, count, seed):
        """(count, MW) codes; the first two are all lowest and all highest."""
        kind = self.inputs
        X = np.random.default_rng(seed).integers(kind.lo, kind.hi + 1, (count, self.MW))
        X[0], X[1] = kind.lo, kind.hi
        return X

    def result(self, X):
        """What the unit puts out for X."""
        acc = folded_matvec(X, self.weights())
        return self.BASE + count_reached(acc, self.thresholds()) if self.NT else acc


CASES = {
    "144x16, 2 bits": Unit(144, 16, 4, 8),
    "144x16, weights in tables": Unit(144, 16, 4, 8, READ=READ_TABLES, WRAM_STYLE="registers"),
    "one multiplier": Unit(7, 5, 1, 1),
    "all at once, primes": Unit(13, 11, 11, 13, AB=3, WB=3, NT=7),
    "one fold of inputs, raw sums": Unit(20, 6, 2, 20, NT=0),
    "many folds of rows": Unit(12, 34, 2, 6),
    "many folds of rows, one of inputs": Unit(5, 17, 1, 5),
    "one fold of rows": Unit(24, 3, 3, 4, AB=1, NT=1),
    "signed activations": Unit(22, 4, 2, 11, AB=3, ASIGNED=1, WB=2, NT=6, BASE=-3),
    "signed bits": Unit(30, 4, 1, 10, AB=1, ASIGNED=1, WB=3, NT=15, BASE=-8),
    "8 x 8 bits, raw sums": Unit(27, 8, 2, 9, AB=8, WB=8, NT=0, DOT=DotKind.MULTIPLIERS, USE_DSP=1),
    "8 x 8 bits, signed": Unit(10, 4, 2, 1, AB=8, ASIGNED=1, WB=8, NT=3, DOT=DotKind.MULTIPLIERS),
    "9 x 4 bits, all at once": Unit(6, 2, 2, 6, AB=4, WB=9, NT=0, DOT=DotKind.MULTIPLIERS),
}

# The simulator's short cuts are replaced by what synthesis reads in these.
STRUCTURAL = [
    "144x16, 2 bits",
    "144x16, weights in tables",
    "signed activations",
    "signed bits",
    "8 x 8 bits, raw sums",
    "8 x 8 bits, signed",
]


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    return request.param, simulator_of(request.param, block_sim)


def simulator_of(unit, block_sim, defines=None):
    acc = unit.acc_bits()
    memories = {"w.hex": weight_lines(unit.weights(), unit.PE, unit.SIMD, unit.WB)}
    if unit.NT:
        memories["t.hex"] = threshold_lines(unit.thresholds(), unit.PE, acc)
    parameters = dict(vars(unit), ACC=acc, OB=out_bits(unit), WFILE="w.hex", TFILE="t.hex")
    return block_sim(
        "qd_mvu",
        parameters,
        unit.SIMD * unit.AB,
        unit.PE * out_bits(unit),
        memories=memories,
        libraries=LIBRARIES,
        defines=defines,
    )


def out_bits(unit):
    if not unit.NT:
        return unit.acc_bits()
    return IntType.holding(unit.BASE, unit.BASE + unit.NT).bits


def run(unit, sim, X, **options):
    result = sim.run([pack(X, unit.AB, unit.SIMD)], [len(X) * (unit.MH // unit.PE)], **options)
    signed = not unit.NT or unit.BASE < 0
    got = unpack(result.outputs[0], out_bits(unit), unit.PE, signed=signed)
    return got.reshape(len(X), unit.MH), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_numpys_results_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    X = unit.vectors(40, seed=int(10 * stall_in + 100 * stall_out))
    got, _ = run(unit, sim, X, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, unit.result(X))


def test_takes_exactly_its_cycles_a_vector(case):
    unit, sim = case
    _, result = run(unit, sim, unit.vectors(30, seed=1))
    ends = result.output_cycles[0].reshape(30, -1)[:, -1]
    assert_array_equal(np.diff(ends), unit.cycles)
    # The header's latency: one more cycle where the weights may lie in a block memory.
    groups, last_beat = math.ceil(unit.SIMD / 9), unit.MW // unit.SIMD - 1
    inside = {
        DotKind.PLANES: unit.WB + unit.AB - 1 + math.ceil(math.log2(groups)),
        DotKind.MULTIPLIERS: 1 + math.ceil(math.log2(unit.SIMD)),
    }[unit.DOT]
    read = unit.READ if unit.cycles > 1 else 1
    latency = result.output_cycles[0][0] - result.input_cycles[0][last_beat]
    assert latency == inside + read + 3 + bool(unit.NT) + (unit.MH > unit.PE)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_what_synthesis_reads_does_the_same_in_the_same_cycles(name, block_sim):
    unit = CASES[name]
    X = unit.vectors(40, seed=2)
    got, quick = run(unit, simulator_of(unit, block_sim), X)
    structural = simulator_of(unit, block_sim, defines={"QD_STRUCTURAL": ""})
    same, slow = run(unit, structural, X)
    assert_array_equal(same, unit.result(X))
    assert_array_equal(same, got)
    assert_array_equal(slow.output_cycles[0], quick.output_cycles[0])


def test_thresholds_split_the_results(case):
    """Guards the other tests: results that are all alike would prove little."""
    unit, _ = case
    assert len(np.unique(unit.result(unit.vectors(40, seed=1)))) > min(unit.NT or 20, 4)


def test_a_slow_sender_costs_nothing_while_it_keeps_the_average_pace(block_sim):
    unit = CASES["144x16, 2 bits"]
    sim = simulator_of(unit, block_sim)
    # 18 beats and 72 cycles per vector: with 60 % stalls they take 45 cycles on average.
    _, result = run(unit, sim, unit.vectors(40, seed=1), stall_in=0.6, seed=9)
    ends = result.output_cycles[0].reshape(40, -1)[:, -1]
    assert (ends[-1] - ends[5]) / 34 == pytest.approx(unit.cycles, abs=0.5)


def test_a_stalling_receiver_costs_nothing_while_it_keeps_the_average_pace(block_sim):
    unit = CASES["144x16, 2 bits"]
    sim = simulator_of(unit, block_sim)
    _, result = run(unit, sim, unit.vectors(40, seed=1), stall_out=0.39, seed=9)
    ends = result.output_cycles[0].reshape(40, -1)[:, -1]
    assert (ends[-1] - ends[5]) / 34 == pytest.approx(unit.cycles, abs=0.5)

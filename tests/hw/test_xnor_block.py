"""qd_mvu on bits that mean -1 and +1, against numpy's products of those numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS, count_reached, folded_matvec
from numpy.testing import assert_array_equal

from qdeploy.dataflow.rtl.library import closure
from qdeploy.dataflow.rtl.memories import threshold_lines, weight_lines
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType

LIBRARIES = [name.removesuffix(".v") for name in closure(["qd_mvu"]) if name != "qd_mvu.v"]
VECTORS = 40


@dataclass(frozen=True)
class Unit:
    """Folding of a binary `qd_mvu`; NT = 1 gives the sign as a bit, for the next binary layer."""

    MW: int
    MH: int
    PE: int
    SIMD: int
    NT: int

    @property
    def acc_bits(self):
        return IntType.holding(-self.MW, self.MW).bits

    @property
    def out_bits(self):
        return 1 if self.NT else self.acc_bits

    def weights(self):
        """(MH, MW) of -1 and +1."""
        return 2 * np.random.default_rng(self.MW).integers(0, 2, (self.MH, self.MW)) - 1

    def vectors(self, seed):
        """(VECTORS, MW) of -1 and +1; first the rows of the weights, negated and as they are."""
        X = 2 * np.random.default_rng(seed).integers(0, 2, (VECTORS, self.MW)) - 1
        X[0], X[1] = -self.weights()[0], self.weights()[0]
        return X

    def thresholds(self):
        """(MH, 1) around the middle of the sums."""
        return np.random.default_rng(1).integers(-3, 4, (self.MH, 1))

    def result(self, X):
        acc = folded_matvec(X, self.weights())
        return count_reached(acc, self.thresholds()) if self.NT else acc


CASES = {
    "144x8, raw sums": Unit(144, 8, 2, 16, 0),
    "signs": Unit(60, 6, 3, 20, 1),
    "one bit at a time": Unit(7, 5, 1, 1, 0),
    "nine at once, one group": Unit(9, 4, 2, 9, 0),
    "all at once, prime": Unit(37, 3, 3, 37, 1),
    "a power of two at once": Unit(64, 4, 4, 64, 0),
}


def simulator_of(unit, block_sim, defines=None):
    memories = {"w.hex": weight_lines((unit.weights() + 1) // 2, unit.PE, unit.SIMD, 1)}
    if unit.NT:
        memories["t.hex"] = threshold_lines(unit.thresholds(), unit.PE, unit.acc_bits)
    derived = dict(ACC=unit.acc_bits, OB=unit.out_bits, WFILE="w.hex", TFILE="t.hex")
    return block_sim(
        "qd_mvu",
        {**vars(unit), **derived, "WB": 1, "AB": 1, "DOT": DotKind.XNOR},
        unit.SIMD,
        unit.PE * unit.out_bits,
        memories=memories,
        libraries=LIBRARIES,
        defines=defines,
    )


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    return request.param, simulator_of(request.param, block_sim)


def run(unit, sim, X, **options):
    beats = pack((X + 1) // 2, 1, unit.SIMD)
    result = sim.run([beats], [len(X) * (unit.MH // unit.PE)], **options)
    got = unpack(result.outputs[0], unit.out_bits, unit.PE, signed=not unit.NT)
    return got.reshape(len(X), unit.MH), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_numpys_results_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    X = unit.vectors(seed=int(10 * stall_in + 100 * stall_out))
    got, _ = run(unit, sim, X, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, unit.result(X))


def test_takes_exactly_its_cycles_a_vector(case):
    unit, sim = case
    _, result = run(unit, sim, unit.vectors(seed=1))
    ends = result.output_cycles[0].reshape(VECTORS, -1)[:, -1]
    assert_array_equal(np.diff(ends), unit.MW // unit.SIMD * (unit.MH // unit.PE))


@pytest.mark.parametrize("name", CASES)
def test_what_synthesis_reads_does_the_same_in_the_same_cycles(name, block_sim):
    unit = CASES[name]
    X = unit.vectors(seed=2)
    _, quick = run(unit, simulator_of(unit, block_sim), X)
    same, slow = run(unit, simulator_of(unit, block_sim, defines={"QD_STRUCTURAL": ""}), X)
    assert_array_equal(same, unit.result(X))
    assert_array_equal(slow.output_cycles[0], quick.output_cycles[0])

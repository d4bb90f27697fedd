"""qd_add against numpy's sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType


@dataclass(frozen=True)
class Adder:
    """Parameters of a `qd_add`."""

    PE: int
    B0: int
    S0: int
    B1: int
    S1: int
    OB: int

    def lanes(self, port, count, seed):
        """(count, PE) codes; the first two are all lowest and all highest."""
        kind = IntType([self.B0, self.B1][port], bool([self.S0, self.S1][port]))
        codes = np.random.default_rng(seed).integers(kind.lo, kind.hi + 1, (count, self.PE))
        codes[0], codes[1] = kind.lo, kind.hi
        return codes


CASES = {
    "unsigned, 2 bits": Adder(4, 2, 0, 2, 0, 4),
    "signed, odd lanes": Adder(3, 5, 1, 5, 1, 6),
    "signed and unsigned": Adder(2, 8, 1, 3, 0, 9),
    "wide output": Adder(1, 2, 0, 7, 1, 20),
    "single bits": Adder(5, 1, 1, 1, 0, 2),
    "sums known to be smaller than their inputs' types": Adder(2, 12, 1, 9, 1, 9),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    unit = request.param
    sim = block_sim(
        "qd_add",
        vars(unit),
        libraries=("qd_skid",),
        inputs=[("s0", unit.PE * unit.B0), ("s1", unit.PE * unit.B1)],
        outputs=[("m", unit.PE * unit.OB)],
    )
    return unit, sim


def run(unit, sim, x, y, **options):
    inputs = [pack(x, unit.B0, unit.PE), pack(y, unit.B1, unit.PE)]
    result = sim.run(inputs, [len(x)], **options)
    return unpack(result.outputs[0], unit.OB, unit.PE, signed=True).reshape(x.shape), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_the_sums_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    x, y = unit.lanes(0, 300, seed=1), unit.lanes(1, 300, seed=2)
    if max(unit.B0, unit.B1) > unit.OB:
        half = IntType(unit.OB - 1, True)
        x, y = np.clip(x, half.lo, half.hi), np.clip(y, half.lo, half.hi)
    got, _ = run(unit, sim, x, y, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, x + y)


def test_takes_a_beat_of_each_every_cycle(case):
    unit, sim = case
    x = unit.lanes(0, 200, seed=1)
    _, result = run(unit, sim, x, unit.lanes(1, 200, seed=2))
    for taken in result.input_cycles:
        assert_array_equal(np.diff(taken), 1)
    assert_array_equal(result.output_cycles[0], result.input_cycles[0] + 1)


def test_beats_leave_the_inputs_together(case):
    unit, sim = case
    x = unit.lanes(0, 200, seed=1)
    _, result = run(unit, sim, x, unit.lanes(1, 200, seed=2), stall_in=0.5, stall_out=0.3, seed=4)
    assert_array_equal(result.input_cycles[0], result.input_cycles[1])

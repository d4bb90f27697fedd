"""qd_unrolled with sums that have the weights in their logic, against numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS, count_reached, folded_matvec
from numpy.testing import assert_array_equal

from qdeploy.dataflow.backends.unrolled import unrolled_block
from qdeploy.dataflow.rtl.memories import threshold_files
from qdeploy.dataflow.rtl.unit import single
from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType
from qdeploy.resources import resource
from qdeploy.sim.model import build_model
from qdeploy.sim.spec import Port, SimSpec


@dataclass(frozen=True)
class Case:
    """Weights (MH, MW) from -most to most, AB bits of activation, NT thresholds."""

    MH: int
    MW: int
    most: int
    AB: int
    signed: bool = False
    NT: int = 0
    BASE: int = 0

    @property
    def inputs(self) -> IntType:
        return IntType(self.AB, self.signed)

    def weights(self):
        rng = np.random.default_rng(self.MW * 31 + self.MH)
        W = rng.integers(-self.most, self.most + 1, (self.MH, self.MW))
        W[0] = self.most
        W[-1] = -self.most
        if self.MH > 3:
            W[1] = 0
            W[2] = W[3]
        return W

    def acc_bits(self):
        W, kind = self.weights(), self.inputs
        ends = np.stack([W * kind.lo, W * kind.hi])
        lo, hi = int(ends.min(0).sum(1).min()), int(ends.max(0).sum(1).max())
        return IntType.holding(min(lo, -1), hi).bits

    def vectors(self, count, seed):
        kind = self.inputs
        X = np.random.default_rng(seed).integers(kind.lo, kind.hi + 1, (count, self.MW))
        X[0], X[1] = kind.lo, kind.hi
        return X

    def thresholds(self):
        acc = folded_matvec(self.vectors(50, seed=5), self.weights())
        return np.sort(acc[: self.NT].T, axis=1)

    def result(self, X):
        acc = folded_matvec(X, self.weights())
        return self.BASE + count_reached(acc, self.thresholds()) if self.NT else acc

    @property
    def out(self):
        if self.NT:
            return IntType.holding(self.BASE, self.BASE + self.NT)
        return IntType(self.acc_bits(), True)


CASES = {
    "ternary, 2 bits": Case(8, 40, 1, 2, NT=3),
    "ternary bits": Case(6, 70, 1, 1, NT=1),
    "signed activations": Case(5, 24, 1, 3, signed=True, NT=6, BASE=-3),
    "8 x 8 bits, raw sums": Case(4, 27, 127, 8),
    "8 x 8 bits, signed": Case(4, 9, 128, 8, signed=True),
    "3 x 4 bits": Case(6, 20, 3, 4, NT=7),
    "one weight": Case(1, 1, 1, 2),
    "one row of many": Case(1, 200, 1, 2),
}


def simulator_of(case, tmp_path, cache, defines):
    activation = {"ACC": case.acc_bits(), "NT": case.NT, "OB": case.out.bits, "BASE": case.BASE}
    activation["TFILE"] = "t.hex"
    block = unrolled_block(case.weights(), case.AB, case.signed, activation, case.out.bits)
    unit = single(block)
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "made.v").write_text(unit.verilog("made"), encoding="utf-8")
    if case.NT:
        lines = threshold_files("t", case.thresholds(), case.MH, case.acc_bits())["t.hex"]
        (tmp_path / "t.hex").write_text("\n".join(lines) + "\n", encoding="utf-8")
    widths = [(bits + 7) // 8 * 8 for bits in (case.MW * case.AB, case.MH * case.out.bits)]
    spec = SimSpec(
        top="made",
        sources=[tmp_path / "made.v", *(resource(f"hw/rtl/{name}") for name in unit.files)],
        folder=tmp_path,
        inputs=[Port("in0_V", widths[0], style="upper")],
        outputs=[Port("out0_V", widths[1], style="upper")],
        clock="ap_clk",
        reset="ap_rst_n",
        defines=defines,
        optimize="-O1",
    )
    return build_model(spec, cache)


def run(case, sim, X, **options):
    result = sim.run([pack(X, case.AB, case.MW)], [len(X)], **options)
    signed = not case.NT or case.BASE < 0
    got = unpack(result.outputs[0], case.out.bits, case.MH, signed=signed)
    return got.reshape(len(X), case.MH), result


@pytest.mark.parametrize("name", CASES)
def test_gives_numpys_results_and_what_is_synthesized_the_same_in_the_same_cycles(
    name, tmp_path, pytestconfig
):
    case, cache = CASES[name], pytestconfig.cache.mkdir("simulators")
    quick = simulator_of(case, tmp_path / "quick", cache, {})
    structural = simulator_of(case, tmp_path / "slow", cache, {"QD_STRUCTURAL": ""})
    for stall_in, stall_out in STALLS:
        X = case.vectors(60, seed=int(10 * stall_in + 100 * stall_out))
        options = {"stall_in": stall_in, "stall_out": stall_out, "seed": 3}
        got, first = run(case, quick, X, **options)
        same, second = run(case, structural, X, **options)
        assert_array_equal(got, case.result(X))
        assert_array_equal(same, got)
        assert_array_equal(first.output_cycles[0], second.output_cycles[0])


def test_takes_a_vector_a_cycle(tmp_path, pytestconfig):
    case = CASES["ternary, 2 bits"]
    sim = simulator_of(case, tmp_path, pytestconfig.cache.mkdir("simulators"), {})
    _, result = run(case, sim, case.vectors(40, seed=1))
    assert_array_equal(np.diff(result.output_cycles[0]), 1)

"""qd_depthwise against numpy: alone, and after a qd_window as in a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from block_models import STALLS, Window, count_reached
from numpy.testing import assert_array_equal

from qdeploy.dataflow.rtl.library import closure
from qdeploy.dataflow.rtl.memories import hex_lines, threshold_lines
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntType

LIBRARIES = [
    name.removesuffix(".v") for name in closure(["qd_depthwise"]) if name != "qd_depthwise.v"
]
PIXELS = 30


@dataclass(frozen=True)
class Unit:
    """Parameters of a `qd_depthwise`; weights, thresholds and accumulator width follow."""

    C: int
    K: int
    PE: int
    WB: int = 2
    AB: int = 2
    ASIGNED: int = 0
    NT: int = 3
    BASE: int = 0
    DOT: DotKind = DotKind.PLANES
    USE_DSP: int = 0

    @property
    def inputs(self):
        return IntType(self.AB, bool(self.ASIGNED))

    def weights(self):
        """(C, K); the first two channels are the extremes, so that sums reach both ends."""
        low = -(1 << (self.WB - 1))
        W = np.random.default_rng(self.C * 97 + self.K).integers(low, -low, (self.C, self.K))
        W[0] = low
        if self.C > 1:
            W[1] = -low - 1
        return W

    def sums(self, X):
        """Accumulators (pixels, C) of windows (pixels, C, K)."""
        return (X * self.weights()[None]).sum(axis=2)

    def acc_bits(self):
        """The narrowest width that holds every sum."""
        W, kind = self.weights(), self.inputs
        ends = np.stack([W * kind.lo, W * kind.hi])
        lo, hi = int(ends.min(0).sum(1).min()), int(ends.max(0).sum(1).max())
        return IntType.holding(min(lo, -1), hi).bits

    def out_bits(self):
        if not self.NT:
            return self.acc_bits()
        return IntType.holding(self.BASE, self.BASE + self.NT).bits

    def thresholds(self):
        """(C, NT) ascending, spread over each channel's range, repeats and extremes included."""
        rng = np.random.default_rng(5)
        X = rng.integers(self.inputs.lo, self.inputs.hi + 1, (200, self.C, self.K))
        T = np.sort(self.sums(X)[: self.NT].T, axis=1)
        T[0, 0] = -(1 << (self.acc_bits() - 1))
        return T

    def windows(self, seed):
        """(PIXELS, C, K) codes; the first two pixels are all lowest and all highest."""
        kind = self.inputs
        shape = (PIXELS, self.C, self.K)
        X = np.random.default_rng(seed).integers(kind.lo, kind.hi + 1, shape)
        X[0], X[1] = kind.lo, kind.hi
        return X

    def beats(self, X):
        """Windows in the order of the stream."""
        folds = X.reshape(len(X), self.C // self.PE, self.PE, self.K)
        return pack(folds.transpose(0, 1, 3, 2), self.AB, self.PE)

    def result(self, X):
        """What the unit puts out for X, (pixels, C)."""
        acc = self.sums(X)
        return self.BASE + count_reached(acc, self.thresholds()) if self.NT else acc


CASES = {
    "16 channels, 3x3, 2 bits": Unit(16, 9, 4),
    "one lane, raw sums": Unit(5, 9, 1, NT=0),
    "all at once, primes": Unit(7, 25, 7, WB=3, AB=3, NT=7),
    "1x1": Unit(12, 1, 3, WB=3),
    "1x1, all at once, raw sums": Unit(3, 1, 3, WB=2, AB=4, NT=0),
    "kernel of two": Unit(6, 2, 2, WB=4, AB=1, NT=1),
    "signed activations": Unit(6, 9, 2, AB=3, ASIGNED=1, NT=6, BASE=-3),
    "8 x 8 bits, raw sums": Unit(8, 9, 2, AB=8, WB=8, NT=0, DOT=DotKind.MULTIPLIERS, USE_DSP=1),
    "8 x 8 bits, signed": Unit(
        4, 9, 2, AB=8, ASIGNED=1, WB=8, NT=15, BASE=-8, DOT=DotKind.MULTIPLIERS
    ),
    "1x1, multipliers": Unit(4, 1, 1, AB=5, WB=6, NT=3, DOT=DotKind.MULTIPLIERS),
}
STRUCTURAL = ["16 channels, 3x3, 2 bits", "signed activations", "8 x 8 bits, signed"]


def simulator_of(unit, block_sim, defines=None):
    acc = unit.acc_bits()
    folded = unit.weights().reshape(unit.C // unit.PE, unit.PE, unit.K).transpose(0, 2, 1)
    memories = {"w.hex": hex_lines(folded, unit.WB, unit.PE)}
    if unit.NT:
        memories["t.hex"] = threshold_lines(unit.thresholds(), unit.PE, acc)
    parameters = dict(vars(unit), ACC=acc, OB=unit.out_bits(), WFILE="w.hex", TFILE="t.hex")
    return block_sim(
        "qd_depthwise",
        parameters,
        unit.PE * unit.AB,
        unit.PE * unit.out_bits(),
        memories=memories,
        libraries=LIBRARIES,
        defines=defines,
    )


@pytest.fixture(params=CASES.values(), ids=CASES.keys(), scope="module")
def case(request, block_sim):
    return request.param, simulator_of(request.param, block_sim)


def run(unit, sim, beats, pixels, **options):
    result = sim.run([beats], [pixels * (unit.C // unit.PE)], **options)
    signed = not unit.NT or unit.BASE < 0
    got = unpack(result.outputs[0], unit.out_bits(), unit.PE, signed=signed)
    return got.reshape(pixels, unit.C), result


@pytest.mark.parametrize(("stall_in", "stall_out"), [*STALLS, (0.9, 0.0), (0.0, 0.9)])
def test_gives_numpys_results_under_stalls(case, stall_in, stall_out):
    unit, sim = case
    X = unit.windows(seed=int(10 * stall_in + 100 * stall_out))
    got, _ = run(unit, sim, unit.beats(X), PIXELS, stall_in=stall_in, stall_out=stall_out, seed=3)
    assert_array_equal(got, unit.result(X))


def test_takes_a_beat_every_cycle(case):
    unit, sim = case
    _, result = run(unit, sim, unit.beats(unit.windows(seed=1)), PIXELS)
    assert_array_equal(np.diff(result.input_cycles[0]), 1)
    assert_array_equal(np.diff(result.output_cycles[0]), unit.K)
    inside = unit.WB + unit.AB - 1 if unit.DOT == DotKind.PLANES else 1
    latency = result.output_cycles[0][0] - result.input_cycles[0][unit.K - 1]
    assert latency == 2 + inside + 3 + bool(unit.NT)


@pytest.mark.parametrize("name", STRUCTURAL)
def test_what_synthesis_reads_does_the_same_in_the_same_cycles(name, block_sim):
    unit = CASES[name]
    X = unit.windows(seed=2)
    _, quick = run(unit, simulator_of(unit, block_sim), unit.beats(X), PIXELS)
    structural = simulator_of(unit, block_sim, defines={"QD_STRUCTURAL": ""})
    same, slow = run(unit, structural, unit.beats(X), PIXELS)
    assert_array_equal(same, unit.result(X))
    assert_array_equal(slow.output_cycles[0], quick.output_cycles[0])


def test_takes_frames_from_a_depthwise_window(block_sim):
    unit = CASES["16 channels, 3x3, 2 bits"]
    window = Window(unit.C // unit.PE, 6, 7, 3, 3, SH=2, SW=1, DEPTHWISE=1)
    rows, columns = window.out_shape
    frames = np.random.default_rng(4).integers(0, 4, (3, 6, 7, unit.C // unit.PE, unit.PE))
    maps = frames.reshape(3, 6, 7, unit.C)
    pixels = [
        maps[n, 2 * y : 2 * y + 3, x : x + 3].reshape(9, unit.C).T
        for n in range(3)
        for y in range(rows)
        for x in range(columns)
    ]
    beats = np.concatenate([pack(window(frame), unit.AB, unit.PE) for frame in frames])
    got, _ = run(unit, simulator_of(unit, block_sim), beats, len(pixels), stall_out=0.2, seed=1)
    assert_array_equal(got, unit.result(np.stack(pixels)))


def test_a_stalling_receiver_costs_nothing_while_it_keeps_the_average_pace(block_sim):
    unit = CASES["16 channels, 3x3, 2 bits"]
    beats = unit.beats(unit.windows(seed=1))
    _, result = run(unit, simulator_of(unit, block_sim), beats, PIXELS, stall_out=0.5, seed=9)
    assert_array_equal(np.diff(result.input_cycles[0]), 1)


def test_thresholds_split_the_results(case):
    """Guards the other tests: results that are all alike would prove little."""
    unit, _ = case
    assert len(np.unique(unit.result(unit.windows(seed=1)))) > min(unit.NT or 20, 3)

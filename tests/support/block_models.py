"""Numpy models of the compute blocks, and what their tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from numpy.testing import assert_array_equal

from qdeploy.design.packing import pack, unpack
from qdeploy.sim.simulator import SimResult, Simulator

Codes = npt.NDArray[np.int64]

STALLS = [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.5, 0.5)]


def cycles_between_frames(result: SimResult, beats: int, frames: int) -> float:
    """Mean distance of the last beats of neighbouring frames, the first frame left out."""
    ends = result.output_cycles[0][beats - 1 :: beats]
    assert len(ends) == frames
    return float(ends[-1] - ends[1]) / (frames - 2)


# A block that only moves codes: its simulator, the shape of a frame with the lanes of a beat last,
# and what it makes of frames.
Mover = tuple[Simulator, tuple[int, ...], Callable[[Codes], Codes]]


def check_stalled(case: Mover, bits: int, stall_in: float, stall_out: float) -> None:
    """Check what a block makes of random codes under stalls."""
    sim, shape, model = case
    lanes = shape[-1]
    frames = np.random.default_rng(5).integers(0, 1 << bits, (4, *shape))
    want = model(frames)
    result = sim.run(
        [pack(frames, bits, lanes)],
        [want.size // lanes],
        stall_in=stall_in,
        stall_out=stall_out,
        seed=7,
    )
    assert_array_equal(unpack(result.outputs[0], bits, lanes, signed=False), want.reshape(-1))


def run_free(case: Mover, bits: int) -> tuple[SimResult, int]:
    """A run of five frames without stalls, and how many beats a block makes of each."""
    sim, shape, model = case
    frames = np.ones((5, *shape), np.int64)
    beats = model(frames).size // shape[-1] // 5
    return sim.run([pack(frames, bits, shape[-1])], [5 * beats]), beats


@dataclass(frozen=True)
class Window:
    """A sliding window; the names are `qd_window`'s parameters, C = CF x channels per beat."""

    CF: int
    H: int
    W: int
    KH: int
    KW: int
    SH: int = 1
    SW: int = 1
    DH: int = 1
    DW: int = 1
    DEPTHWISE: int = 0

    @property
    def out_shape(self) -> tuple[int, int]:
        """Windows from top to bottom and from left to right."""
        rows = (self.H - self.DH * (self.KH - 1) - 1) // self.SH + 1
        columns = (self.W - self.DW * (self.KW - 1) - 1) // self.SW + 1
        return rows, columns

    @property
    def beats_in(self) -> int:
        """Beats per frame."""
        return self.H * self.W * self.CF

    @property
    def beats_out(self) -> int:
        """Beats of the windows of a frame."""
        rows, columns = self.out_shape
        return rows * columns * self.KH * self.KW * self.CF

    def parameters(self) -> dict[str, int]:
        """As the Verilog module takes them."""
        return asdict(self)

    def __call__(self, frame: Codes) -> Codes:
        """Windows of a frame (H, W, CF, lanes), in the order of the stream: (beats, lanes)."""
        rows, columns = self.out_shape
        beats = []
        for oy in range(rows):
            for ox in range(columns):
                top, left = oy * self.SH, ox * self.SW
                window = frame[
                    top : top + self.DH * (self.KH - 1) + 1 : self.DH,
                    left : left + self.DW * (self.KW - 1) + 1 : self.DW,
                ]
                if self.DEPTHWISE:
                    window = window.transpose(2, 0, 1, 3)
                beats.append(window.reshape(-1, frame.shape[-1]))
        return np.concatenate(beats)


def folded_matvec(X: Codes, W: Codes) -> Codes:
    """Accumulators (vectors, MH) of inputs (vectors, MW) and weights (MH, MW)."""
    return X @ W.T


def count_reached(acc: Codes, T: Codes) -> Codes:
    """Number of thresholds (MH, NT) each accumulator (vectors, MH) reaches."""
    return (acc[:, :, None] >= T[None]).sum(axis=2)

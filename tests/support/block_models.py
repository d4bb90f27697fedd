"""Numpy models of the compute blocks, and what their tests share."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from qdeploy.sim.simulator import SimResult

Codes = npt.NDArray[np.int64]

STALLS = [(0.0, 0.0), (0.4, 0.0), (0.0, 0.4), (0.5, 0.5)]


def cycles_between_frames(result: SimResult, beats: int, frames: int) -> float:
    """Mean distance of the last beats of neighbouring frames, the first frame left out."""
    ends = result.output_cycles[0][beats - 1 :: beats]
    assert len(ends) == frames
    return float(ends[-1] - ends[1]) / (frames - 2)


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

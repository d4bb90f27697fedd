"""The design: what dataflow makes and simulation, synthesis, targets and verification read.

A design folder holds plain Verilog, memory files and `design.json`. All paths in it are relative to
that folder; a simulator or synthesizer runs with the folder as its working directory.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.errors import UserError

DESIGN_FILE = "design.json"


@dataclass(frozen=True)
class Stream:
    """A tensor on an AXI-Stream: which codes travel in which beat and bit.

    The elements of a frame go out in the order of `shape` (row-major; feature maps are height,
    width, channels), `per_beat` elements a beat, element 0 in the least significant bits, each
    `bits` wide (two's complement when `signed`), TDATA padded with zeros to whole bytes.

    Args:
        name: prefix of the port's signals (`s_axis`, `m_axis`, or a tap's `tap0`).
        tensor: the integer graph's tensor it carries.
        shape: (F,) for a vector; (H, W, C) for a map, such as the logits (H', W', classes) of a
            segmentation network; (1,) or (H', W', 1) for classes found in hardware.
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    bits: int
    signed: bool
    per_beat: int

    @property
    def elements(self) -> int:
        """Elements in a frame."""
        return prod(self.shape)

    @property
    def beats(self) -> int:
        """Beats in a frame."""
        return self.elements // self.per_beat

    @property
    def bytes_per_beat(self) -> int:
        """Width of TDATA in bytes."""
        return (self.bits * self.per_beat + 7) // 8

    @property
    def width(self) -> int:
        """Width of TDATA in bits, a multiple of 8."""
        return 8 * self.bytes_per_beat


@dataclass(frozen=True)
class Fifo:
    """A FIFO of the design.

    Args:
        name: instance name.
        depth: words.
        width: bits a word.
        fill_port: the top's port for its fill, when compiled with QD_TAPS.
        stream: what it stands in front of, `<layer>.<number of its input>`; this name stays the
            same when depths change.
        limit_port: the top's port for the depth to behave like, of a design for sizing only.
    """

    name: str
    depth: int
    width: int
    fill_port: str
    stream: str = ""
    limit_port: str = ""


@dataclass(frozen=True)
class Layer:
    """One hardware layer, a module of its own in the design.

    Args:
        name: instance name, which carries the recipe's layer name.
        layer: the recipe's layer name.
        op: FINN's operator (`MVAU`, `ConvolutionInputGenerator`, …).
        module: Verilog module name of the wrapper.
        cycles: expected cycles a frame at steady state.
        folding: PE, SIMD and the like.
        macs: multiplications a frame the network asks of this layer; 0 where it has no weights.
    """

    name: str
    layer: str
    op: str
    module: str
    cycles: int
    folding: dict[str, int] = field(default_factory=dict)
    macs: int = 0


@dataclass(frozen=True)
class Design:
    """A stitched design. `top` has clk, rst_n, `input` and `output` (with TLAST) and, when compiled
    with the macro QD_TAPS, one port group for each tap and one fill port for each FIFO."""

    name: str
    top: str
    board: str
    part: str
    clock_mhz: float
    sources: list[str]
    memories: list[str]
    input: Stream
    output: Stream
    taps: list[Stream]
    fifos: list[Fifo]
    layers: list[Layer]
    logit_scale: float = 1.0

    @property
    def cycles_per_frame(self) -> int:
        """Expected cycles between frames at steady state: the slowest layer's."""
        return max(layer.cycles for layer in self.layers)

    def save(self, folder: Path) -> None:
        """Write `design.json` into `folder`."""
        write_json(folder / DESIGN_FILE, dataclasses.asdict(self))

    @staticmethod
    def load(folder: Path) -> Design:
        """Read `design.json`.

        Raises:
            UserError: when there is none, or it cannot be read.
        """
        path = folder / DESIGN_FILE
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for key in ("input", "output"):
                data[key] = _stream(data[key])
            data["taps"] = [_stream(tap) for tap in data["taps"]]
            data["fifos"] = [Fifo(**fifo) for fifo in data["fifos"]]
            data["layers"] = [Layer(**layer) for layer in data["layers"]]
            return Design(**data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"`{folder}` holds no complete design",
                where=str(path),
                why=str(error),
                do="run `qdeploy export` again",
            ) from error


def _stream(data: dict[str, Any]) -> Stream:
    return Stream(**{**data, "shape": tuple(data["shape"])})


# Node attribute of a layer: pixels in a beat of its input.
PIXELS = "M"

"""What a package says about its input: the values that the driver takes, and what they become."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.design import packing
from qdeploy.design.manifest import Design, Stream
from qdeploy.ir.input_codes import InputPreparation, fraction_text
from qdeploy.ir.input_thresholds import plain
from qdeploy.ir.integer_graph import IntType
from qdeploy.ir.layout import to_stream_order

INPUT_FILE = "input.npz"


@dataclass(frozen=True)
class PackageInput:
    """The input of a package.

    Args:
        preparation: from a frame to its codes.
        shift: of bytes whose upper bits are the codes: code = raw >> shift; 0 otherwise.
    """

    preparation: InputPreparation
    shift: int = 0

    @staticmethod
    def of(
        design: Design,
        frame: tuple[int, ...],
        preparation: InputPreparation | None,
        input_bits: int | None,
    ) -> PackageInput:
        """The input of a design.

        Args:
            frame: shape of a raw frame.
            preparation: None where only the width of the stream is known.
            input_bits: code = raw >> (8 - input_bits); None for raw values that are the codes.
        """
        bits = design.input.bits
        if preparation is None:
            legal = IntType(bits, design.input.signed)
            preparation = plain(None, legal.lo, legal.hi, frame)
        shift = 8 - min(8, input_bits or bits)
        return PackageInput(preparation, 0 if preparation.raw is not None else shift)

    def codes(self, raw: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """Codes in the order of the stream, of raw frames."""
        found = self.preparation
        if self.shift:
            raw = np.clip(raw >> self.shift, found.lo, found.hi)
        return to_stream_order(found.codes_of_integers(raw), frames=True)

    def packed(
        self, stream: Stream, raw: npt.NDArray[np.integer], beat_bytes: int
    ) -> npt.NDArray[np.uint8]:
        """Raw frames as beats, (N, bytes of a frame).

        Args:
            stream: the design's input.
            beat_bytes: of a beat with its padding.
        """
        beats = packing.pack(self.codes(raw), stream.bits, stream.per_beat)
        padded = np.zeros((len(beats), beat_bytes), np.uint8)
        padded[:, : beats.shape[1]] = beats
        return padded.reshape(len(raw), -1)

    @property
    def raw_range(self) -> tuple[int, int]:
        """Of the integers that the driver takes."""
        return (0, 255) if self.shift else self.preparation.integer_range

    def write(self, root: Path) -> None:
        """Write the thresholds, and the table where raw values are known, into a package."""
        found = self.preparation
        arrays = {} if found.raw is None else {"table": found.table}
        with (root / INPUT_FILE).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, thresholds=found.thresholds, **arrays)

    def record(self) -> dict[str, Any]:
        """As in `bundle.json`: value = scale · code, and which values the driver takes."""
        found = self.preparation
        scale = found.scale
        return {
            "data_shape": list(found.shape),
            "shift": self.shift,
            "range": [found.lo, found.hi],
            "raw_range": list(self.raw_range),
            "raw_type": None if found.raw is None else found.raw.name,
            "zero_point": 0,
            "scale": None if scale is None else float(scale),
            "step": None if scale is None else fraction_text(scale),
            "preparation": found.record(),
        }

    @property
    def takes(self) -> str:
        """What the driver takes, for people."""
        shape = ", ".join(str(size) for size in self.preparation.shape)
        low, high = self.raw_range
        raw = self.preparation.raw
        kind = "integers" if raw is None else f"raw {raw.name} values"
        return f"frames of shape ({shape}), {kind} from {low} to {high}"

    @property
    def meaning(self) -> str:
        """What an input integer means to the network, in sentences."""
        found = self.preparation
        reals = (
            "With `from_float=True` the driver takes real numbers as the network's file does, and "
            "gives each the code that the file gives it."
        )
        if found.raw is not None:
            if found.takes_codes:
                done = "Raw values are the network's input codes: nothing is computed on the host."
            else:
                rows = len(found.table)
                done = (
                    f"The driver turns raw values into the network's input codes, {found.lo} to "
                    f"{found.hi}, by a table of {rows} x {found.table.shape[1]} entries: that is "
                    "what the network's file does before its first quantizer."
                )
            return f"{done} To the network a raw value means x = {found.raw.meaning}. {reals}"
        code = f"`value >> {self.shift}`" if self.shift else "the value itself"
        said = f"The network's input code is {code}, {found.lo} to {found.hi}"
        if found.scale is None:
            return f"{said}."
        return f"{said}; one step of it means {float(found.scale):.9g}. {reals}"

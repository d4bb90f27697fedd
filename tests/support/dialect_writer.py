"""Files by hand: a `FileWriter` with everything a quantizer may have, and the usual layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from dialects import Dialect
from written_files import FileWriter

Writing = Callable[[], onnx.ModelProto]


class DialectWriter(FileWriter):
    """Layers from the input `x` on."""

    def quantizer(
        self,
        source: str,
        scale: Any,
        bits: int,
        *,
        zero: float = 0,
        signed: int = 0,
        narrow: int = 0,
        rounding: str = "ROUND",
        kind: str = "Quant",
    ) -> str:
        """A Quant of any kind."""
        parameters = [self.constant(value) for value in (scale, zero, bits)]
        attributes = {"signed": signed, "narrow": narrow, "rounding_mode": rounding}
        return self.op(kind, source, *parameters, domain=self.domain, **attributes)

    def bipolar(self, source: str, scale: float = 1.0) -> str:
        return self.op("BipolarQuant", source, self.constant(scale), domain=self.domain)

    def norm(self, source: str, channels: int, *, negative: bool = False) -> str:
        """A batch norm with statistics of its own."""
        gamma = self.rng.uniform(0.5, 1.5, channels)
        if negative:
            gamma[::2] *= -1
        beta, mean = self.rng.normal(size=(2, channels)) * 0.2
        values = (gamma, beta, mean, self.rng.uniform(0.5, 2, channels))
        return self.op("BatchNormalization", source, *map(self.constant, values))

    def block(
        self, source: str, inputs: int, outputs: int, scale: float = 0.5, bits: int = 2
    ) -> str:
        """Convolution of 3x3, batch norm, ReLU, quantizer."""
        return self.activation(self.norm(self.conv(source, inputs, outputs), outputs), scale, bits)

    def flat(self, source: str) -> str:
        return self.op("Flatten", source, axis=1)

    def classes(self, source: str, features: int, classes: int = 5) -> str:
        """Flatten and the last layer."""
        return self.head(self.flat(source), features, classes)

    def qdq(
        self, source: str, scale: Any, zero: Any = 0, dtype: Any = np.uint8, clip: Any = None
    ) -> str:
        """QuantizeLinear, Clip where there are ends, DequantizeLinear."""
        parameters = [self.constant(scale), self.constant(zero, dtype)]
        codes = self.op("QuantizeLinear", source, *parameters)
        if clip is not None:
            codes = self.op("Clip", codes, *(self.constant(end, dtype) for end in clip))
        return self.op("DequantizeLinear", codes, *parameters)

    def stored(self, codes: np.ndarray, scale: Any, zero: Any = 0, axis: int | None = None) -> str:
        """Integers with a DequantizeLinear."""
        parameters = [self.constant(scale), self.constant(zero, codes.dtype)]
        more = {} if axis is None else {"axis": axis}
        stored = self.constant(codes, codes.dtype)
        return self.op("DequantizeLinear", stored, *parameters, **more)


def image(shape: tuple[Any, ...] = (3, 6, 6), batch: Any = 1, **options: Any) -> DialectWriter:
    """A file whose input is a map."""
    return DialectWriter((batch, *shape), **options)


def quantized(
    shape: tuple[int, ...] = (3, 6, 6), batch: Any = 1, **options: Any
) -> tuple[DialectWriter, str]:
    """A file and its input in 8 unsigned bits at 1/256."""
    file = image(shape, batch, **options)
    return file, file.quantizer("x", 2**-8, 8)


class Collection:
    """Files of one family; each function added makes one model."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.files: list[Dialect] = []

    def add(self, name: str, make: Writing, raw: str | None = None) -> None:
        def write(path: Path) -> None:
            onnx.save(make(), path)

        self.files.append(Dialect(f"{self.family}/{name}", write, raw))

    def write(
        self,
        name: str,
        write: Callable[[Path], None],
        raw: str | None = None,
        *,
        large: bool = False,
    ) -> None:
        self.files.append(Dialect(f"{self.family}/{name}", write, raw, large))

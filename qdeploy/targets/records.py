"""What the bundle of every package with hardware says about its streams and its output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qdeploy.design.loading import checksum, image_of
from qdeploy.design.manifest import Design, Stream
from qdeploy.ir.head import Head


def stream_record(stream: Stream) -> dict[str, Any]:
    """Which elements travel in which beat."""
    return {
        "tensor": stream.tensor,
        "stream_shape": list(stream.shape),
        "elements": stream.elements,
        "bits": stream.bits,
        "signed": stream.signed,
        "per_beat": stream.per_beat,
        "beats": stream.beats,
        "bytes_per_beat": stream.bytes_per_beat,
    }


def head_record(meaning: Head) -> dict[str, Any]:
    """The map from integers to logits: exact, and as one float64 scale where there is one."""
    scale = meaning.scale
    return {
        "scale": None if scale is None else float(scale),
        "gain": [f"{value.numerator}/{value.denominator}" for value in meaning.gain],
        "offset": [f"{value.numerator}/{value.denominator}" for value in meaning.offset],
        "parts": [{"name": part.name, "channels": part.channels} for part in meaning.parts],
    }


def own_image(folder: Path, design: Design) -> bytes:
    """The image of the weights that a design has by itself; empty where its weights never change.

    Args:
        folder: of the design.
    """
    if design.loading is None:
        return b""
    words = {name: (folder / name).read_text(encoding="ascii").split() for name in design.memories}
    return image_of(design.loading.loads, words)


def weights_record(folder: Path, design: Design) -> dict[str, Any]:
    """What is loaded at run time, and the checksum of the weights that the design has by itself;
    nothing where its weights never change.

    Args:
        folder: of the design.
    """
    if design.loading is None:
        return {}
    image = own_image(folder, design)
    return {"weights": {"bytes": len(image), "crc32": checksum(image)}}


def output_kind(design: Design, classes: Sequence[str]) -> str:
    """`class` where the hardware takes the largest itself, also of every pixel, else `logits`."""
    one = design.output.shape[-1] == 1 and not design.output.signed
    return "class" if one and len(classes) != 1 else "logits"


def class_count(design: Design) -> int:
    """How many classes the output tells apart."""
    if output_kind(design, ()) == "class":
        return 1 << design.output.bits
    return design.output.shape[-1]

"""Running a program that shows what each step has written: its header, frames in, codes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qdeploy.codegen.c.elements import Element, Stored
from qdeploy.codegen.c.program import Program
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.layout import to_stream_order

# As of numpy.
ByteOrder = Literal["<", ">"]

_KINDS: dict[Element, np.dtype[Any]] = {
    Element.U8: np.dtype("u1"),
    Element.I8: np.dtype("i1"),
    Element.U16: np.dtype("<u2"),
    Element.I16: np.dtype("<i2"),
    Element.I32: np.dtype("<i4"),
}


def taps_header(program: Program, prefix: str, names: Sequence[str] | None = None) -> str:
    """`taps.h`: sizes that a program with taps needs.

    Args:
        names: boundaries that it writes; all when None.
    """
    sizes = ", ".join(str(size) for size in _sizes(program, names))
    return f"""\
#define TAP_RUN {prefix}_run
#define TAP_INPUT_TYPE {program.source.element.c_type}
#define TAP_INPUT_BYTES {program.source.bytes}u
#define TAP_OUTPUT_BYTES {program.result.bytes}u
#define TAP_ARENA_BYTES {max(program.memory.size, 4)}u
static const uint32_t tap_bytes[] = {{{sizes}}};
"""


def input_bytes(program: Program, codes: IntArray, order: ByteOrder = "<") -> bytes:
    """Frames (N, *input shape of the graph) as the network takes them.

    Args:
        order: of bytes, numpy's `<` or `>`.
    """
    kind = _KINDS[program.source.element].newbyteorder(order)
    return np.ascontiguousarray(to_stream_order(codes, frames=True)).astype(kind).tobytes()


def _sizes(program: Program, names: Sequence[str] | None) -> list[int]:
    """Bytes of all that steps write for a frame."""
    return [one.bytes if names is None or one.name in names else 0 for one in program.written]


def tapped(
    program: Program,
    output: bytes,
    frames: int,
    names: Sequence[str] | None = None,
    order: ByteOrder = "<",
) -> dict[str, npt.NDArray[np.integer]]:
    """Codes of boundaries, (frames, *shape) in the types that the program has them in, of what a
    program with taps has put out.

    Args:
        names: the boundaries that it writes; all when None.
        order: of bytes, numpy's `<` or `>`.

    Raises:
        ValueError: it is not of as many frames.
    """
    shown = [one for one in program.pieces if names is None or one[0].name in names]
    per_frame = sum(size for _, size in shown)
    if len(output) != frames * per_frame:
        raise ValueError(f"{len(output)} bytes of taps for {frames} frames of {per_frame}")
    data = np.frombuffer(output, np.uint8).reshape(frames, per_frame)
    parts: dict[str, list[npt.NDArray[np.uint8]]] = {}
    at = 0
    for tensor, size in shown:
        parts.setdefault(tensor.name, []).append(data[:, at : at + size])
        at += size
    found = {}
    for tensor in program.written:
        if tensor.name in parts:
            whole = np.ascontiguousarray(np.concatenate(parts[tensor.name], axis=1))
            found[tensor.name] = _in_graph_order(program, tensor, whole, order)
    return {name: found[name] for name in program.graph.boundaries() if name in found}


def stored_bytes(program: Program, tensor: Stored, codes: IntArray) -> bytes:
    """Codes (frames, *shape) of a tensor as the steps write them, lowest byte first.

    Args:
        tensor: one of `program.written`.
    """
    values = np.ascontiguousarray(to_stream_order(codes, frames=True)).reshape(len(codes), -1)
    if not tensor.element.packed:
        return values.astype(_KINDS[tensor.element]).tobytes()
    each = 8 // tensor.element.bits
    fields = np.zeros((len(codes), tensor.bytes * each), np.int64)
    fields[:, : tensor.count] = values
    shifted = fields.reshape(len(codes), -1, each) << np.arange(0, 8, tensor.element.bits)
    return shifted.sum(axis=2).astype(np.uint8).tobytes()


def _in_graph_order(
    program: Program, tensor: Stored, data: npt.NDArray[np.uint8], order: ByteOrder
) -> npt.NDArray[np.integer]:
    codes: npt.NDArray[np.integer]
    if tensor.element.packed:
        codes = _unpacked(data, tensor.element.bits)[:, : tensor.count]
    else:
        codes = data.view(_KINDS[tensor.element].newbyteorder(order))
    shape = program.graph.tensors[tensor.name].shape
    if len(shape) == 1:
        return codes
    maps = codes.reshape(len(codes), tensor.height, tensor.width, tensor.channels)
    return np.moveaxis(maps, -1, 1)


def _unpacked(data: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.uint8]:
    """Fields of so many bits, the first in the lowest, of (frames, bytes)."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    fields = data[:, :, None] >> shifts & np.uint8((1 << bits) - 1)
    return fields.reshape(len(data), -1)

"""Memory files of the Verilog blocks: lines of hex, one word a line, as $readmemh reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from qdeploy.design.loading import Load
from qdeploy.design.packing import pack
from qdeploy.errors import InternalError

# Up to here thresholds are compared in parallel, beyond they are searched (hw/rtl/qd_threshold.v).
MAX_PARALLEL_LEVELS = 15


def hex_lines(codes: npt.ArrayLike, bits: int, per_word: int) -> list[str]:
    """One line for each `per_word` codes, element 0 in the least significant bits.

    Raises:
        InternalError: a code does not fit `bits`.
    """
    try:
        words = pack(codes, bits, per_word)
    except ValueError as error:
        raise InternalError("a memory does not hold its contents", why=str(error)) from error
    digits = (bits * per_word + 3) // 4
    text = np.ascontiguousarray(words[:, ::-1]).tobytes().hex()
    step = 2 * words.shape[1]
    return [text[end - digits : end] for end in range(step, len(text) + 1, step)]


def wide_lines(numbers: Iterable[int], per_word: int, bits: int) -> list[str]:
    """As `hex_lines`, for numbers of any width, two's complement in `bits` or unsigned.

    Raises:
        InternalError: a number does not fit `bits`, or the last word is not full.
    """
    flat = [int(number) for number in numbers]
    for number in flat:
        if not -(1 << bits) <= 2 * number < 2 << bits:
            raise InternalError(f"{number} does not fit {bits} bits")
    if len(flat) % per_word:
        raise InternalError(f"{len(flat)} numbers do not fill words of {per_word}")
    digits, mask = (bits * per_word + 3) // 4, (1 << bits) - 1
    words = (
        sum((number & mask) << (bits * lane) for lane, number in enumerate(fold))
        for fold in (flat[at : at + per_word] for at in range(0, len(flat), per_word))
    )
    return [f"{word:0{digits}x}" for word in words]


def weight_lines(W: npt.ArrayLike, pe: int, simd: int, bits: int) -> list[str]:
    """Weights of a matrix-vector unit.

    Args:
        W: (MH, MW) integers, two's complement in `bits`.
        pe: rows a word, divides MH.
        simd: columns a word, divides MW.

    Returns:
        (MH/pe)·(MW/simd) lines; word nf·(MW/simd) + sf has W[nf·pe + p, sf·simd + s] at bits
        [(p·simd + s)·bits +: bits].
    """
    matrix = np.asarray(W)
    rows, columns = matrix.shape
    if rows % pe or columns % simd:
        raise InternalError(f"PE {pe}, SIMD {simd} do not divide weights of {rows} x {columns}")
    folded = matrix.reshape(rows // pe, pe, columns // simd, simd).transpose(0, 2, 1, 3)
    return hex_lines(folded, bits, pe * simd)


def split_lines(lines: Iterable[str], low_bits: int) -> tuple[list[str], list[str]]:
    """The low `low_bits` of each word, and what lies above them."""
    low, high = [], []
    for line in lines:
        word = int(line, 16)
        low.append(f"{word & ((1 << low_bits) - 1):0{(low_bits + 3) // 4}x}")
        high.append(f"{word >> low_bits:x}")
    return low, high


def threshold_lines(
    T: npt.ArrayLike, pe: int, acc_bits: int, variant: Literal["parallel"] = "parallel"
) -> list[str]:
    """Thresholds that are all compared at once (`threshold_files` also does the others).

    Args:
        T: (C, NT) integers ascending along axis 1, two's complement in `acc_bits`. Those below the
            range are met by every accumulator and become its lowest value.
        pe: channels a word, divides C.

    Returns:
        C/pe lines; word nf has T[nf·pe + p, t] at bits [(p·NT + t)·acc_bits +: acc_bits].
    """
    table = _in_range(T, pe, acc_bits)
    channels, levels = table.shape
    return hex_lines(table.reshape(channels // pe, pe * levels), acc_bits, pe * levels)


def threshold_files(
    stem: str, T: npt.ArrayLike, pe: int, acc_bits: int, *, search: bool = False
) -> dict[str, list[str]]:
    """The memory files of a `qd_threshold` with parameter TFILE = `stem`: name to lines.

    Up to 15 levels, unless `search` is asked for, `<stem>.hex` as `threshold_lines` gives it.
    Beyond, one file for each stage s of the binary search and lane p, `<stem>_s<ss>_p<pppp>.hex`:
    C/pe · 2^s words; word nf·2^s + path is the threshold that channel nf·pe + p is compared with
    after the decisions `path` (first decision most significant). The table is padded to
    2^stages - 1 levels with its highest value; the block
    cuts the count off at NT.
    """
    table = _in_range(T, pe, acc_bits)
    channels, levels = table.shape
    if levels <= MAX_PARALLEL_LEVELS and not search:
        return {f"{stem}.hex": threshold_lines(table, pe, acc_bits)}
    stages = levels.bit_length()
    padding = np.full((channels, (1 << stages) - 1 - levels), (1 << (acc_bits - 1)) - 1)
    folded = np.concatenate([table, padding], axis=1).reshape(channels // pe, pe, -1)
    files = {}
    for stage in range(stages):
        # After `path`, counts path·2^k … (path+1)·2^k - 1 are left, k = stages - stage: the
        # middle one is reached when the threshold before it is met.
        step = 1 << (stages - stage)
        picked = folded[:, :, step // 2 - 1 :: step]
        for lane in range(pe):
            name = f"{stem}_s{stage:02d}_p{lane:04d}.hex"
            files[name] = hex_lines(picked[:, lane], acc_bits, 1)
    return files


def threshold_loads(
    stem: str, shape: tuple[int, ...], pe: int, acc_bits: int, *, search: bool = False
) -> tuple[Load, ...]:
    """What the configuration stream writes of `threshold_files`, in the order of the chain.

    Args:
        shape: of the table, (channels, levels).
    """
    channels, levels = shape
    folds = channels // pe
    if levels <= MAX_PARALLEL_LEVELS and not search:
        return (Load((f"{stem}.hex",), pe * levels * acc_bits, folds),)
    return tuple(
        Load(
            tuple(f"{stem}_s{stage:02d}_p{lane:04d}.hex" for lane in range(pe)),
            acc_bits,
            folds << stage,
        )
        for stage in range(levels.bit_length())
    )


def _in_range(T: npt.ArrayLike, pe: int, acc_bits: int) -> npt.NDArray[np.int64]:
    table = np.asarray(T, dtype=np.int64)
    if table.ndim != 2 or table.shape[0] % pe:
        raise InternalError(f"thresholds of shape {table.shape} at PE {pe}")
    if table.size and int(table.max()) >= 1 << (acc_bits - 1):
        raise InternalError(
            f"a threshold of {table.max()} does not fit {acc_bits} bits",
            why="no accumulator of that width reaches it, so it cannot be stored",
            do="widen the accumulator",
        )
    return np.maximum(table, -(1 << (acc_bits - 1)))

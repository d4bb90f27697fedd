"""The blocks that make codes, read back: thresholds inside a unit, `qd_threshold`, `qd_requant`."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import IntArray, IntType
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.codes import (
    CodeFunction,
    Multiplied,
    ParallelLevels,
    SearchedLevels,
    SumMap,
    compare_codes,
)
from qdeploy.verify.memories.ledger import Place, UnreadableError
from qdeploy.verify.memories.reader import LayerReading
from qdeploy.verify.memories.widths import check_accumulator
from qdeploy.verify.memories.words import numbers, read_words

# From more levels on `qd_threshold` searches.
MOST_PARALLEL = 15


def inner_levels(place: Place, block: Block, rows: int, lanes: int) -> ParallelLevels:
    """Thresholds of a unit's own (`qd_results`): word f has those of rows f·lanes + p."""
    bits, count = block.number("ACC"), block.number("NT")
    lines = read_words(place, block.parameters["TFILE"], rows // lanes, lanes * count * bits)
    levels = numbers(lines, bits, lanes * count, signed=True).reshape(rows, count)
    return ParallelLevels(levels, block.number("BASE"))


def check_codes_block(reading: LayerReading, block: Block, sums: SumMap) -> None:
    """Compare a block that makes codes of sums that come lane by lane.

    Raises:
        UnreadableError: its memories are not as its parameters say.
    """
    if block.module not in ("qd_threshold", "qd_requant"):
        raise UnreadableError(f"`{block.module}` does not make codes")
    unit, place, lanes = reading.unit, reading.place, block.number("PE")
    channels = block.number("C")
    fitting = channels > 0 and unit.channels % channels == 0 and channels % lanes == 0
    rule = f"a divisor of {unit.channels} channels, in beats of {lanes}"
    if not place.holds(f"parameter C of {block.module}", rule, fitting, channels):
        return
    bits = block.number("ACC")
    check_accumulator(reading, f"parameter ACC of {block.module}", bits, sums)
    function = (
        _threshold(place, block) if block.module == "qd_threshold" else _requant(place, block)
    )
    reading.makes(reading.outputs[0], block.number("OB"), lanes, block)
    compare_codes(place, unit, function.of_channels(unit.channels), sums, block.module)


def _threshold(place: Place, block: Block) -> CodeFunction:
    channels, lanes, bits = (block.number(key) for key in ("C", "PE", "ACC"))
    count, base, stem = block.number("NT"), block.number("BASE"), block.parameters["TFILE"]
    folds = channels // lanes
    if count <= MOST_PARALLEL and block.number("SEARCH") == 0:
        lines = read_words(place, f"{stem}.hex", folds, lanes * count * bits)
        levels = numbers(lines, bits, lanes * count, signed=True).reshape(channels, count)
        return ParallelLevels(levels, base)
    stages = []
    for stage in range(count.bit_length()):
        rows: IntArray = np.empty((folds, lanes, 1 << stage), dtype=np.int64)
        for lane in range(lanes):
            name = f"{stem}_s{stage:02d}_p{lane:04d}.hex"
            lines = read_words(place, name, folds << stage, bits)
            rows[:, lane] = numbers(lines, bits, 1, signed=True).reshape(folds, 1 << stage)
        stages.append(rows.reshape(channels, -1))
    return SearchedLevels(tuple(stages), base, count)


def _requant(place: Place, block: Block) -> CodeFunction:
    channels, lanes = block.number("C"), block.number("PE")
    folds, lo, hi, bits = channels // lanes, *(block.number(key) for key in ("LO", "HI", "OB"))
    fits = IntType.holding(lo, hi).bits <= bits and lo <= hi
    place.holds("parameters LO and HI of qd_requant", f"codes of {bits} bits", fits, f"{lo}, {hi}")
    found = []
    for key, width, signed in (("MFILE", "MB", False), ("BFILE", "BB", True)):
        each = block.number(width)
        lines = read_words(place, block.parameters[key], folds, lanes * each)
        found.append(numbers(lines, each, lanes, signed=signed).reshape(-1))
    multiplier, bias = found
    return Multiplied(multiplier, bias, block.number("SHIFT"), bool(block.number("EVEN")), lo, hi)

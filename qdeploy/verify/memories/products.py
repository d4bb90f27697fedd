"""Matrix and depthwise units read back: weights, accumulators, thresholds."""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import Conv, Dense, IntArray, IntType
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.codes import SumMap, compare_codes, row_name
from qdeploy.verify.memories.ledger import Place, UnreadableError
from qdeploy.verify.memories.levels import check_codes_block, inner_levels
from qdeploy.verify.memories.reader import LayerReading
from qdeploy.verify.memories.sums import check_constant_sums
from qdeploy.verify.memories.widths import check_accumulator
from qdeploy.verify.memories.words import joined, numbers, read_words
from qdeploy.verify.units.parameters import UnitParameters

# The parameter DOT.
PLANES, MULTIPLIERS, XNOR = 0, 1, 2


def check_matrix(reading: LayerReading) -> None:
    """A matrix unit: `qd_mvu`, or `qd_unrolled` with its sums in logic."""
    first, *after = reading.wrapper.chain()
    matrix = reading.unit.matrix
    assert matrix is not None
    if first.module == "qd_unrolled":
        sums = _unrolled(reading, first, matrix)
        lanes = first.number("MH")
    elif first.module == "qd_mvu":
        sums = _mvu(reading, first, matrix)
        lanes = first.number("PE")
    else:
        raise UnreadableError(f"`{first.module}` is no matrix unit")
    if sums is not None:
        _results(reading, first, after, sums, lanes)


def check_depthwise(reading: LayerReading) -> None:
    """A depthwise unit, which takes the positions of a channel one after the other."""
    first, *after = reading.wrapper.chain()
    kernel, unit, place = reading.unit.kernel, reading.unit, reading.place
    assert kernel is not None
    if first.module != "qd_depthwise":
        raise UnreadableError(f"`{first.module}` is no depthwise unit")
    channels, positions = kernel.shape
    if not reading.check(first, {"C": channels, "K": positions}):
        return
    lanes, bits = first.number("PE"), first.number("WB")
    _check_lanes(reading, first, lanes)
    _operands(reading, first, lanes)
    if not place.holds("parameter DOT of qd_depthwise", "0 or 1", first.number("DOT") in (0, 1), 2):
        return
    words = channels // lanes * positions
    lines = read_words(place, first.parameters["WFILE"], words, lanes * bits)
    flat = numbers(lines, bits, lanes, signed=True).reshape(channels // lanes, positions, lanes)
    found = flat.transpose(0, 2, 1).reshape(channels, positions)
    place.ledger.counted["weights read"] += found.size
    place.arrays(kernel, found, lambda row, column: weight_name(unit, row, column))
    _results(reading, first, after, SumMap(1, np.zeros(channels, dtype=np.int64)), lanes)


def _mvu(reading: LayerReading, block: Block, matrix: IntArray) -> SumMap | None:
    """Compare the weights; how the unit's sums follow from the network's, None if they cannot."""
    unit, place = reading.unit, reading.place
    rows, columns = matrix.shape
    if not reading.check(block, {"MH": rows, "MW": columns}):
        return None
    pe, simd, bits = (block.number(key) for key in ("PE", "SIMD", "WB"))
    if not place.holds(
        "parameters PE and SIMD of qd_mvu",
        f"divisors of {rows} rows and {columns} columns",
        pe > 0 and simd > 0 and rows % pe == 0 and columns % simd == 0,
        f"{pe} and {simd}",
    ):
        return None
    binary = block.number("DOT") == XNOR
    _operands(reading, block, simd)
    words = _weight_words(place, block, rows // pe * (columns // simd), pe * simd * bits)
    found = numbers(words, bits, pe * simd, signed=not binary)
    found = found.reshape(rows // pe, columns // simd, pe, simd).transpose(0, 2, 1, 3)
    found = found.reshape(rows, columns)
    if binary:
        found = 2 * found - 1
    place.ledger.counted["weights read"] += found.size
    place.arrays(matrix, found, lambda row, column: weight_name(unit, row, column))
    if binary:
        ones = block.number("WB") == block.number("AB") == 1
        place.holds("parameter DOT of qd_mvu", "1 bit a weight and code", ones, XNOR)
        return SumMap(2, -matrix.sum(axis=1))
    return SumMap(1, np.zeros(rows, dtype=np.int64))


def _weight_words(place: Place, block: Block, count: int, width: int) -> list[str]:
    """Words of a weight memory, the upper bits from a second one where there is one."""
    rest = block.number("WREST")
    if not 0 <= rest < width:
        raise UnreadableError(f"parameter WREST is {rest}, a word has {width} bits")
    low = read_words(place, block.parameters["WFILE"], count, width - rest)
    if not rest:
        return low
    high = read_words(place, block.parameters["WRESTFILE"], count, rest)
    return joined(low, high, width - rest)


def _unrolled(reading: LayerReading, block: Block, matrix: IntArray) -> SumMap | None:
    rows, columns = matrix.shape
    if not reading.check(block, {"MH": rows, "MW": columns}):
        return None
    stream, bits = reading.inputs[0], block.number("AB")
    reading.reads(stream, bits, columns, block)
    check_constant_sums(
        reading,
        block,
        matrix,
        IntType(bits, stream.signed),
        lambda row, column: weight_name(reading.unit, row, column),
    )
    return SumMap(1, np.zeros(rows, dtype=np.int64))


def _operands(reading: LayerReading, block: Block, lanes: int) -> None:
    """The codes that a unit multiplies by are read as what they are."""
    bits, signed = block.number("AB"), bool(block.number("ASIGNED"))
    reading.reads(reading.inputs[0], bits, lanes, block)
    kind = IntType(bits, signed)
    if block.module == "qd_mvu" and block.number("DOT") == XNOR:
        kind = IntType(bits, False)
    source = reading.unit.inputs[0]
    reading.wide_enough(f"parameter ASIGNED of {block.module}", kind, source.lo, source.hi)


def _check_lanes(reading: LayerReading, block: Block, lanes: int) -> None:
    """A unit takes a channel's positions one after the other: for as many channels at a time as
    the window puts out."""
    if reading.unit.positions > 1:
        reading.place.check(f"lanes that {block.module} takes of its window", reading.lanes, lanes)


def _results(
    reading: LayerReading, block: Block, after: list[Block], sums: SumMap, lanes: int
) -> None:
    """Accumulators, and what makes codes of them."""
    unit, place, out = reading.unit, reading.place, reading.outputs[0]
    check_accumulator(reading, f"parameter ACC of {block.module}", block.number("ACC"), sums)
    if unit.thresholds is None:
        plain = not after and block.number("NT") == 0 and sums.factor == 1
        place.holds(f"parameter NT of {block.module}", "0: it gives sums", plain, "codes")
        place.check(f"parameter OB of {block.module}", block.number("ACC"), block.number("OB"))
        reading.makes(out, block.number("OB"), lanes, block)
    elif block.number("NT") > 0:
        if after:
            raise UnreadableError("codes are made twice")
        reading.makes(out, block.number("OB"), lanes, block)
        function = inner_levels(place, block, unit.channels, lanes)
        compare_codes(place, unit, function, sums, f"{block.parameters['TFILE']}")
    elif len(after) == 1:
        place.check(f"parameter OB of {block.module}", block.number("ACC"), block.number("OB"))
        place.check(f"parameter PE of {after[0].module}", lanes, after[0].number("PE"))
        check_codes_block(reading, after[0], sums)
    else:
        raise UnreadableError("nothing makes codes of its sums")


def weight_name(unit: UnitParameters, row: int, column: int) -> str:
    """A weight for people: output channel, and input channel with its kernel position."""
    node, result = unit.nodes[0], row_name(unit, row)
    if unit.kernel is not None:
        assert isinstance(node, Conv)
        wide = node.weights.shape[3]
        return f"weight of {result}, kernel position ({column // wide}, {column % wide})"
    if isinstance(node, Dense):
        return f"weight of {result}, input {column} of the stream"
    assert isinstance(node, Conv)
    channels = unit.inputs[0].shape[0]
    tall = node.weights.shape[2]
    assert unit.matrix is not None
    wide = unit.matrix.shape[1] // (tall * channels)
    place, channel = divmod(column, channels)
    ky, x = divmod(place, wide)
    across = "kernel position" if unit.pixels == 1 else "kernel row and pixel of the window"
    return f"weight of {result}, {across} ({ky}, {x}), input channel {channel}"

"""Units without memories, or with a bias only, read back; and what carries elements on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from qdeploy.design.manifest import Connection, Design
from qdeploy.ir.integer_graph import IntType
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.codes import SumMap, row_name
from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.memories.levels import check_codes_block
from qdeploy.verify.memories.reader import LayerReading
from qdeploy.verify.memories.words import numbers, read_words


def check_thresholds(reading: LayerReading) -> None:
    """Thresholds on their own; codes may be made wider first."""
    *before, last = reading.wrapper.chain()
    unit, source = reading.unit, reading.unit.inputs[0]
    kind = IntType(last.number("ACC"), True)
    if len(before) == 1 and before[0].module == "qd_extend":
        kind = IntType(before[0].number("IB"), bool(before[0].number("SIGNED")))
        reading.place.check("parameter PE of qd_extend", last.number("PE"), before[0].number("PE"))
        reading.place.check("parameter OB of qd_extend", last.number("ACC"), before[0].number("OB"))
    elif before:
        raise UnreadableError(f"`{before[0].module}` has no place before thresholds")
    reading.reads(reading.inputs[0], kind.bits, last.number("PE"), last)
    reading.wide_enough("type of the sums that are read", kind, source.lo, source.hi)
    check_codes_block(reading, last, SumMap(1, np.zeros(unit.channels, dtype=np.int64)))


def check_bias(reading: LayerReading) -> None:
    """A constant added per channel."""
    block, unit, place = reading.only("qd_bias"), reading.unit, reading.place
    assert unit.bias is not None
    channels, lanes, bits = (block.number(key) for key in ("C", "PE", "BB"))
    fitting = channels > 0 and unit.channels % channels == 0 and channels % lanes == 0
    rule = f"a divisor of {unit.channels} channels, in beats of {lanes}"
    if not place.holds("parameter C of qd_bias", rule, fitting, channels):
        return
    reading.reads(reading.inputs[0], block.number("IB"), lanes, block)
    source = unit.inputs[0]
    kind = IntType(block.number("IB"), True)
    reading.wide_enough("parameter IB of qd_bias", kind, source.lo, source.hi)
    _check_sums(reading, block, lanes)
    lines = read_words(place, block.parameters["BFILE"], channels // lanes, lanes * bits)
    found = numbers(lines, bits, lanes, signed=True).reshape(-1, 1)
    found = np.tile(found, (unit.channels // channels, 1))
    place.ledger.counted["biases read"] += len(found)
    place.arrays(unit.bias[:, None], found, lambda row, _: f"bias of {row_name(unit, row)}")


def check_addition(reading: LayerReading) -> None:
    """The sum of two streams."""
    block = reading.only("qd_add")
    lanes = block.number("PE")
    for index, (stream, source) in enumerate(zip(reading.inputs, reading.sources, strict=True)):
        bits, signed = block.number(f"B{index}"), bool(block.number(f"S{index}"))
        reading.reads(stream, bits, lanes, block)
        kind = IntType(bits, signed)
        reading.wide_enough(f"type of operand {index} of qd_add", kind, source.lo, source.hi)
    _check_sums(reading, block, lanes)


def check_max_pool(reading: LayerReading) -> None:
    """The largest of a channel's positions."""
    block, unit = reading.only("qd_maxpool"), reading.unit
    lanes, bits, source = block.number("PE"), block.number("BITS"), unit.inputs[0]
    reading.check(block, {"K": unit.positions})
    if unit.positions > 1:
        reading.place.check("lanes that qd_maxpool takes of its window", reading.lanes, lanes)
    reading.reads(reading.inputs[0], bits, lanes, block)
    reading.makes(reading.outputs[0], bits, lanes, block)
    kind = IntType(bits, bool(block.number("SIGNED")))
    reading.wide_enough("parameter SIGNED of qd_maxpool", kind, source.lo, source.hi)
    if kind.signed != reading.inputs[0].signed:
        # A padding's code is read by its sign too.
        reading.place.check("parameter SIGNED of qd_maxpool", reading.inputs[0].signed, kind.signed)


def check_global_sum(reading: LayerReading) -> None:
    """The sum of a channel over all pixels."""
    block, unit = reading.only("qd_global_sum"), reading.unit
    lanes, bits, source = block.number("PE"), block.number("BITS"), unit.inputs[0]
    if lanes <= 0 or unit.channels % lanes:
        raise UnreadableError(f"{lanes} lanes do not divide {unit.channels} channels")
    reading.check(block, {"PIXELS": unit.positions, "CF": unit.channels // lanes})
    reading.reads(reading.inputs[0], bits, lanes, block)
    kind = IntType(bits, bool(block.number("SIGNED")))
    reading.wide_enough("parameter SIGNED of qd_global_sum", kind, source.lo, source.hi)
    _check_sums(reading, block, lanes)


def check_argmax(reading: LayerReading) -> None:
    """The index of the largest of a vector."""
    block, unit, source = reading.only("qd_argmax"), reading.unit, reading.unit.inputs[0]
    lanes, bits, index = (block.number(key) for key in ("PE", "BITS", "IDX"))
    reading.check(block, {"N": unit.positions})
    reading.reads(reading.inputs[0], bits, lanes, block)
    kind = IntType(bits, True)
    reading.wide_enough("parameter BITS of qd_argmax", kind, source.lo, source.hi)
    reading.makes(reading.outputs[0], index, 1, block)
    narrow = IntType(index, False)
    reading.wide_enough("parameter IDX of qd_argmax", narrow, 0, unit.positions - 1)


def check_copy(reading: LayerReading, design: Design) -> None:
    """A FIFO, a width converter or a fork: every element goes out as it came."""
    op, place, source = reading.unit.layer.op, reading.place, reading.inputs[0]
    for out in reading.outputs:
        place.check("elements of a frame", source.elements, out.elements)
        place.check("type of an element", _kind(source), _kind(out))
    if op == "StreamingFIFO":
        block = reading.only("qd_fifo")
        depths = {fifo.name: fifo.depth for fifo in design.fifos}
        expected = {"WIDTH": _bits(source), "DEPTH": depths.get(reading.unit.layer.name, 0)}
        reading.check(block, expected)
    elif op == "StreamingDataWidthConverter":
        blocks = reading.wrapper.chain()
        widths = [_bits(source)]
        for block in blocks:
            if block.module != "qd_dwc":
                raise UnreadableError(f"`{block.module}` is no width converter")
            widths.append(block.number("OUT_WIDTH"))
        reading.check(blocks[0], {"IN_WIDTH": widths[0]})
        reading.check(blocks[-1], {"OUT_WIDTH": _bits(reading.outputs[0])})
        for before, after in pairwise(widths):
            whole = max(before, after) % min(before, after) == 0
            place.holds("widths of a converter", "multiples", whole, f"{before} and {after}")
            # A word that a frame does not fill would hold parts of two.
            total = source.elements * source.bits
            filled = total % max(before, after) == 0
            place.holds("widths of a converter", f"divisors of {total} bits", filled, after)
    else:
        _check_fork(reading)


def _check_fork(reading: LayerReading) -> None:
    """Forks in a row: each output is reached from the input."""
    by_source = {}
    for block in reading.wrapper.blocks:
        if block.module != "qd_fork":
            raise UnreadableError(f"`{block.module}` is no fork")
        reading.check(block, {"WIDTH": _bits(reading.inputs[0])})
        by_source[block.sources[0]] = block
    waiting, reached = ["in0"], set()
    while waiting:
        stream = waiting.pop()
        fork = by_source.pop(stream, None)
        waiting += [] if fork is None else fork.sinks
        reached |= {stream} if fork is None else set()
    expected = {f"out{index}" for index in range(len(reading.outputs))}
    reading.place.check("streams of the fork", sorted(expected), sorted(reached))


def _check_sums(reading: LayerReading, block: Block, lanes: int) -> None:
    """The sums that a unit puts out fit its type and the stream's."""
    unit, out, bits = reading.unit, reading.outputs[0], block.number("OB")
    assert unit.sum_lo is not None and unit.sum_hi is not None
    reading.makes(out, bits, lanes, block)
    ends = int(unit.sum_lo.min()), int(unit.sum_hi.max())
    reading.wide_enough(f"parameter OB of {block.module}", IntType(bits, out.signed), *ends)


def _kind(stream: Connection) -> tuple[int, bool]:
    return stream.bits, stream.signed


def _bits(stream: Connection) -> int:
    return stream.bits * stream.per_beat

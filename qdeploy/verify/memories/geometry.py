"""Paddings and windows read back: which element of a map goes where."""

from __future__ import annotations

from qdeploy.ir.integer_graph import MaxPool
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.reader import LayerReading
from qdeploy.verify.units.shapes import WindowShape


def check_padding(reading: LayerReading) -> None:
    """A border around a map."""
    shape, place, block = reading.unit.padding, reading.place, reading.only("qd_pad")
    assert shape is not None
    into, out = reading.inputs[0], reading.outputs[0]
    bits, width = block.number("BITS"), block.number("WIDTH")
    if not place.holds("parameter BITS of qd_pad", f"of {into.bits}", bits == into.bits, bits):
        return
    lanes = width // bits
    reading.reads(into, bits, lanes, block)
    reading.makes(out, bits, lanes, block)
    sides = {"PT": shape.top, "PL": shape.left, "PB": shape.bottom, "PR": shape.right}
    sizes = {"CF": shape.channels // lanes, "H": shape.rows, "W": shape.columns}
    reading.check(block, sides | sizes)
    code = block.number("VALUE") & ((1 << bits) - 1)
    node, source = reading.unit.nodes[0], reading.unit.inputs[0]
    if into.signed and code >> (bits - 1):
        code -= 1 << bits
    if isinstance(node, MaxPool):
        # What is no higher than any code is never the maximum.
        rule = f"a code no higher than {source.lo}"
        place.holds("parameter VALUE of qd_pad", rule, code <= source.lo, code)
    else:
        place.check("parameter VALUE of qd_pad", shape.code, code)


def check_window(reading: LayerReading) -> None:
    """Windows of a map, one position per beat or whole."""
    shape, place = reading.unit.window, reading.place
    assert shape is not None
    block = reading.only("qd_window", "qd_window_parallel")
    into, out = reading.inputs[0], reading.outputs[0]
    lanes, positions = into.per_beat, shape.kernel[0] * shape.kernel[1]
    place.check(f"parameter WIDTH of {block.module}", lanes * into.bits, block.number("WIDTH"))
    reading.check(block, {"H": shape.rows, "W": shape.columns})
    _check_positions(reading, block, shape)
    if block.module == "qd_window_parallel":
        place.check("channels of a pixel in one beat", shape.channels, lanes)
        reading.makes(out, into.bits, lanes * positions, block)
    else:
        fold = shape.channels // lanes
        place.check("lanes of the channels in one beat", 0, shape.channels % lanes)
        reading.check(block, {"CF": fold})
        reading.makes(out, into.bits, lanes, block)
        # With one beat a pixel, or one position, both orders are the same.
        if fold > 1 and positions > 1:
            reading.check(block, {"DEPTHWISE": int(shape.by_channel)})
        place.holds(
            "parameter AHEAD of qd_window", "0 or more", block.number("AHEAD") >= 0, "below 0"
        )


def _check_positions(reading: LayerReading, block: Block, shape: WindowShape) -> None:
    """Rows and columns that each window takes: a stride between windows of which there is one, or
    a dilation between positions of which there is one, means nothing."""
    for axis, keys in enumerate((("KH", "SH", "DH", "H"), ("KW", "SW", "DW", "W"))):
        kernel, stride, dilation, size = (block.number(key) for key in keys)
        names = f"parameters {keys[0]}, {keys[1]}, {keys[2]} of {block.module}"
        given = f"{kernel}, {stride}, {dilation}"
        wanted = f"{shape.kernel[axis]}, {shape.stride[axis]}, {shape.dilation[axis]}"
        same = False
        if min(kernel, stride, dilation) > 0 and size >= dilation * (kernel - 1) + 1:
            count = (size - dilation * (kernel - 1) - 1) // stride + 1
            found = [[w * stride + tap * dilation for tap in range(kernel)] for w in range(count)]
            same = found == shape.positions(axis)
        reading.place.holds(names, wanted, same, given)

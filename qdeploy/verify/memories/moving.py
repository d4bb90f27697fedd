"""Units that give out what came in, in another order or number, read back."""

from __future__ import annotations

from qdeploy.ir.integer_graph import DepthToSpace, Dilate, IntType, Tensor, Upsample
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.memories.reader import LayerReading


def check_concatenation(reading: LayerReading) -> None:
    """The channels of several streams: blocks of two in a row, the first stream first."""
    blocks = reading.wrapper.blocks
    if len(blocks) != len(reading.inputs) - 1:
        raise UnreadableError(f"{len(blocks)} blocks join {len(reading.inputs)} streams")
    out, before, done = reading.outputs[0], "in0", reading.sources[0].shape[0]
    kind = IntType(reading.inputs[0].bits, reading.inputs[0].signed)
    for index, block in enumerate(blocks, 1):
        sources = (before, f"in{index}")
        reading.place.check("streams that a block joins", sources, block.sources)
        second, stream = reading.sources[index], reading.inputs[index]
        own = IntType(stream.bits, stream.signed)
        for place, given in enumerate((kind, own)):
            ends = block.number(f"B{place}"), bool(block.number(f"S{place}"))
            what = f"type of operand {place} of {block.module}"
            reading.place.check(what, (given.bits, given.signed), ends)
        _check_shares(reading, block, index, done, second.shape[0])
        reading.place.check(f"parameter OB of {block.module}", out.bits, block.number("OB"))
        kind = IntType(out.bits, out.signed)
        before, done = block.sinks[0], done + second.shape[0]
    reading.place.check("stream that the last block makes", "out0", before)
    for source in reading.sources:
        reading.wide_enough("type of the channels together", kind, source.lo, source.hi)


def _check_shares(reading: LayerReading, block: Block, index: int, first: int, second: int) -> None:
    """Channels of either side in one beat, and beats of a pixel.

    Args:
        index: of the stream at its second input.
        first, second: channels of a pixel that come in at either.
    """
    lanes = reading.inputs[index].per_beat
    if block.module == "qd_beside":
        reading.check(block, {"L0": first, "L1": second})
        reading.place.check("lanes that qd_beside reads", second, lanes)
        if index == 1:
            reading.place.check("lanes that qd_beside reads", first, reading.inputs[0].per_beat)
        if index == len(reading.inputs) - 1:
            out = reading.outputs[0].per_beat
            reading.place.check("lanes that qd_beside makes", first + second, out)
        return
    if block.module != "qd_concat":
        raise UnreadableError(f"`{block.module}` joins no channels")
    own = block.number("PE")
    reading.place.check("lanes of all streams", own, lanes)
    reading.place.check("lanes of all streams", own, reading.inputs[0].per_beat)
    reading.place.check("lanes of all streams", own, reading.outputs[0].per_beat)
    if own <= 0 or first % own or second % own:
        raise UnreadableError(f"{own} lanes do not divide {first} and {second} channels")
    reading.check(block, {"CF0": first // own, "CF1": second // own})


def check_enlargement(reading: LayerReading) -> None:
    """Repeated pixels, zeros between pixels, channels as pixels."""
    node, source = reading.unit.nodes[0], reading.unit.inputs[0]
    channels, height, width = source.shape
    if isinstance(node, Upsample):
        down, right = node.factor
        _check_moves(reading, "qd_upsample", channels, {"W": width, "KH": down, "KW": right})
    elif isinstance(node, Dilate):
        down, right = node.step
        sizes = {"H": height, "W": width, "SH": down, "SW": right}
        _check_moves(reading, "qd_dilate", channels, sizes)
        _check_zero(reading, source)
    elif isinstance(node, DepthToSpace):
        sizes = {"W": width, "B": node.block}
        _check_moves(reading, "qd_depth_to_space", channels // node.block**2, sizes)


def _check_moves(
    reading: LayerReading, module: str, channels: int, expected: dict[str, int]
) -> None:
    """One block; `channels`: those that stay together."""
    block, into = reading.only(module), reading.inputs[0]
    if into.per_beat <= 0 or channels % into.per_beat:
        raise UnreadableError(f"{into.per_beat} lanes do not divide {channels} channels")
    width, fold = into.per_beat * into.bits, channels // into.per_beat
    reading.check(block, {"WIDTH": width, "CF": fold, **expected})
    reading.makes(reading.outputs[0], into.bits, into.per_beat, block)
    signs = into.signed, reading.outputs[0].signed
    reading.place.check("sign of an element", *signs)


def _check_zero(reading: LayerReading, source: Tensor) -> None:
    """Zeros are codes of the stream's type, whatever codes the map has."""
    kind = IntType(reading.outputs[0].bits, reading.outputs[0].signed)
    reading.wide_enough("type of the stream", kind, min(source.lo, 0), max(source.hi, 0))

"""Channels of several streams: `qd_concat` and `qd_beside` implement FINN's StreamingConcat."""

from __future__ import annotations

from math import gcd, prod
from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.concat import StreamingConcat

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.nodes import divisors
from qdeploy.dataflow.finn.operators import LayerFrom, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Instance, Unit

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class StreamingConcat_qd_rtl(QdBackend, StreamingConcat):  # noqa: N801 (FINN's naming scheme)
    """FINN's concatenation of channels; more than two streams are joined in a row.

    With as many lanes as channels a beat holds a whole pixel of all streams, side by side; with
    fewer, lanes divide the channels of each stream, and streams take turns.
    """

    operator = Operator(
        name="StreamingConcat",
        suffix="concat",
        part="forks and additions",
        layer_from=LayerFrom.NAME,
        lanes="SIMD",
    )

    def lane_choices(self) -> list[int]:
        """What divides the channels of every stream; and all of them."""
        channels = self._channels()
        return [*divisors(gcd(*channels)), sum(channels)]

    def _channels(self) -> list[int]:
        return [int(size) for size in self.attribute("ChannelsPerStream")]

    def _lanes(self, index: int) -> int:
        """Lanes of an input."""
        lanes, channels = int(self.attribute("SIMD")), self._channels()
        return channels[index] if lanes == sum(channels) else lanes

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """FINN's hook: the axes of the pixels, beats per pixel, lanes."""
        vectors = (int(size) for size in self.attribute("numInputVectors"))
        lanes = self._lanes(ind)
        return (*vectors, self._channels()[ind] // lanes, lanes)

    def get_instream_width(self, ind: int = 0) -> int:
        """FINN's hook: bits per beat of an input."""
        return self._lanes(ind) * bits_of(self.get_input_datatype(ind))

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the output's beats."""
        return int(prod(int(size) for size in self.get_folded_output_shape()[:-1]))

    def unit(self, model: ModelWrapper) -> Unit:
        channels, out = self._channels(), bits_of(self.get_output_datatype())
        whole = int(self.attribute("SIMD")) == sum(channels)
        signed = int(self.get_output_datatype().signed())
        instances = []
        done, bits, sign = channels[0], bits_of(self.get_input_datatype(0)), 0
        sign = int(self.get_input_datatype(0).signed())
        source = "in0"
        for index in range(1, len(channels)):
            dtype = self.get_input_datatype(index)
            ends = {"B0": bits, "S0": sign, "B1": bits_of(dtype), "S1": int(dtype.signed())}
            block = _beside if whole else _in_turn
            lanes = self._lanes(index)
            made = block(done, channels[index], lanes, ends | {"OB": out})
            sink = "out0" if index == len(channels) - 1 else f"joined{index}"
            instances.append(Instance(made, (source, f"in{index}"), (sink,)))
            done, bits, sign, source = done + channels[index], out, signed, sink
        return Unit(tuple(instances))


def _beside(first: int, second: int, _: int, ends: dict[str, int]) -> Block:
    out = (first + second) * ends["OB"]
    return Block(
        "qd_beside",
        {"L0": first, "L1": second, **ends},
        (first * ends["B0"], second * ends["B1"]),
        (out,),
    )


def _in_turn(first: int, second: int, lanes: int, ends: dict[str, int]) -> Block:
    return Block(
        "qd_concat",
        {"PE": lanes, "CF0": first // lanes, "CF1": second // lanes, **ends},
        (lanes * ends["B0"], lanes * ends["B1"]),
        (lanes * ends["OB"],),
    )

"""What joins layers: FINN's FIFO and data width converter on `qd_fifo` and `qd_dwc`."""

from __future__ import annotations

from itertools import pairwise
from math import lcm
from typing import TYPE_CHECKING, Any

from finn.custom_op.fpgadataflow.streamingdatawidthconverter import StreamingDataWidthConverter
from finn.custom_op.fpgadataflow.streamingfifo import StreamingFIFO

from qdeploy.dataflow.backends.base import QdBackend
from qdeploy.dataflow.finn.operators import Kind, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, chain, single

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

FILL_BITS = 16


@declare
class StreamingFIFO_qd_rtl(QdBackend, StreamingFIFO):  # noqa: N801 (FINN's)
    """FINN's FIFO; its wrapper has a further port `fill`, the number of words inside.

    With the attribute `limited` it is a stand-in for simulation with a port `limit`: any depth up
    to its own is tried without compiling again.
    """

    operator = Operator(
        name="StreamingFIFO",
        suffix="fifo",
        part="FIFOs",
        kind=Kind.FIFO,
    )

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: attributes and their defaults."""
        return super().get_nodeattr_types() | {"limited": ("i", False, 0, {0, 1})}

    def unit(self, model: ModelWrapper) -> Unit:
        bits = int(self.get_instream_width())
        parameters: dict[str, int | str] = {"WIDTH": bits, "DEPTH": int(self.attribute("depth"))}
        fill = {"fill": FILL_BITS}
        if self.attribute("limited"):
            limit = {"limit": FILL_BITS}
            return single(Block("qd_fifo_limited", parameters, (bits,), (bits,), fill, limit))
        return single(Block("qd_fifo", parameters, (bits,), (bits,), fill))


@declare
class StreamingDataWidthConverter_qd_rtl(  # noqa: N801 (FINN's naming)
    QdBackend, StreamingDataWidthConverter
):
    """FINN's width converter; where neither width divides the other, by way of their multiple."""

    operator = Operator(
        name="StreamingDataWidthConverter",
        suffix="dwc",
        part="width converters",
        kind=Kind.CONVERTER,
    )

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the beats on the narrower side."""
        bits = int(self.get_input_datatype().bitwidth())
        total = bits
        for size in self.get_normal_input_shape():
            total *= int(size)
        return total // min(int(self.attribute("inWidth")), int(self.attribute("outWidth")))

    def unit(self, model: ModelWrapper) -> Unit:
        narrow, wide = int(self.attribute("inWidth")), int(self.attribute("outWidth"))
        common = lcm(narrow, wide)
        widths = [narrow, wide] if common in (narrow, wide) else [narrow, common, wide]
        return chain(
            [
                Block("qd_dwc", {"IN_WIDTH": left, "OUT_WIDTH": right}, (left,), (right,))
                for left, right in pairwise(widths)
            ]
        )

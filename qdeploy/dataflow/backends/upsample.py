"""Repeated pixels: `qd_upsample` implements FINN's UpsampleNearestNeighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finn.custom_op.fpgadataflow.upsampler import UpsampleNearestNeighbour

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.operators import LayerFrom, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single

if TYPE_CHECKING:
    import numpy as np
    from onnx import GraphProto
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class UpsampleNearestNeighbour_qd_rtl(  # noqa: N801 (FINN's naming scheme)
    QdBackend, UpsampleNearestNeighbour
):
    """FINN's enlargement by integers, each axis by its own."""

    operator = Operator(
        name="UpsampleNearestNeighbour",
        suffix="upsample",
        part="windows and padding",
        layer_from=LayerFrom.NAME,
        channels="NumChannels",
        lanes="SIMD",
        pauses=True,
    )

    @classmethod
    def execute_plain(cls, plain: Any, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """FINN's operator runs onnxruntime inside, in float32: here pixels are repeated."""
        node = plain.onnx_node
        down, right = _factors(plain)
        pixels = context[node.input[0]].repeat(down, axis=1).repeat(right, axis=2)
        context[node.output[0]] = pixels

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the output's beats."""
        fold = int(self.attribute("NumChannels")) // int(self.attribute("SIMD"))
        return fold * int(self.attribute("HO")) * int(self.attribute("WO"))

    def unit(self, model: ModelWrapper) -> Unit:
        lanes = int(self.attribute("SIMD"))
        bits = lanes * bits_of(self.get_input_datatype())
        down, right = _factors(self)
        block = Block(
            "qd_upsample",
            {
                "WIDTH": bits,
                "CF": int(self.attribute("NumChannels")) // lanes,
                "W": int(self.attribute("WI")),
                "KH": down,
                "KW": right,
            },
            (bits,),
            (bits,),
        )
        return single(block)


def _factors(instance: Any) -> tuple[int, int]:
    """Rows per row, columns per column."""
    pairs = (("HO", "HI"), ("WO", "WI"))
    down, right = (
        int(instance.get_nodeattr(out)) // int(instance.get_nodeattr(into)) for out, into in pairs
    )
    return down, right

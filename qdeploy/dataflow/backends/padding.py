"""Padding: `qd_pad` implements FINN's FMPadding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finn.custom_op.fpgadataflow.fmpadding import FMPadding

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.finn.nodes import PAD_VALUE
from qdeploy.dataflow.finn.operators import Kind, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single

if TYPE_CHECKING:
    import numpy as np
    from onnx import GraphProto
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class FMPadding_qd_rtl(QdBackend, FMPadding):  # noqa: N801 (FINN's naming)
    """FINN's padding, which is with code 0, or with the node's `PadValue`: FINN knows none."""

    operator = Operator(
        name="FMPadding",
        suffix="pad",
        part="windows and padding",
        kind=Kind.PADDING,
        channels="NumChannels",
    )

    @classmethod
    def execute_plain(cls, plain: Any, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """FINN's FMPadding pads with 0 only: it pads the distances from the border's code, which
        are 0 in the border."""
        node = plain.onnx_node
        border = next((item.i for item in node.attribute if item.name == PAD_VALUE), 0)
        source, result = node.input[0], node.output[0]
        shifted = {source: context[source] - border, result: context[result]}
        plain.execute_node(shifted, graph)
        context[result] = shifted[result] + border

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: its attributes, and the code of the border."""
        return {**super().get_nodeattr_types(), PAD_VALUE: ("i", False, 0)}

    def unit(self, model: ModelWrapper) -> Unit:
        simd = int(self.attribute("SIMD"))
        bits = simd * bits_of(self.get_input_datatype())
        height, width = pair(self.attribute("ImgDim"))
        top, left, bottom, right = (int(value) for value in self.attribute("Padding"))
        block = Block(
            "qd_pad",
            {
                "WIDTH": bits,
                "CF": int(self.attribute("NumChannels")) // simd,
                "H": height,
                "W": width,
                "PT": top,
                "PL": left,
                "PB": bottom,
                "PR": right,
                "BITS": bits // simd,
                "VALUE": int(self.attribute(PAD_VALUE)),
            },
            (bits,),
            (bits,),
        )
        return single(block)

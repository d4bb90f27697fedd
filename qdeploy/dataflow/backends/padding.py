"""Padding: `qd_pad` behind FINN's FMPadding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finn.custom_op.fpgadataflow.fmpadding import FMPadding
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.finn.nodes import PAD_VALUE
from qdeploy.dataflow.rtl.unit import Block, Unit, single

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class FMPadding_qd_rtl(QdBackend, FMPadding):  # noqa: N801 (FINN's naming)
    """FINN's padding, which is with code 0, or with the node's `PadValue`: FINN knows none."""

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: its attributes, and the code of the border."""
        return {**super().get_nodeattr_types(), PAD_VALUE: ("i", False, 0)}

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
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

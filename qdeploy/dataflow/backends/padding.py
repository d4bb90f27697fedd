"""Zero padding: `qd_pad` behind FINN's FMPadding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.fmpadding import FMPadding
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.backends.unit import Block, Unit, single

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class FMPadding_qd_rtl(QdBackend, FMPadding):  # noqa: N801 (FINN's naming)
    """FINN's padding with code 0."""

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
            },
            (bits,),
            (bits,),
        )
        return single(block)

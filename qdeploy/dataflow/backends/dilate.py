"""Zeros between pixels: `qd_dilate` implements FINN's FMPadding_Pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.fmpadding_pixel import FMPadding_Pixel

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.finn.operators import LayerFrom, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class FMPadding_Pixel_qd_rtl(QdBackend, FMPadding_Pixel):  # noqa: N801 (FINN's naming scheme)
    """FINN's zeros between pixels, before the window of a transposed convolution."""

    operator = Operator(
        name="FMPadding_Pixel",
        suffix="dilate",
        part="windows and padding",
        layer_from=LayerFrom.NAME,
        channels="NumChannels",
        lanes="SIMD",
        pauses=True,
    )

    def unit(self, model: ModelWrapper) -> Unit:
        lanes = int(self.attribute("SIMD"))
        bits = lanes * bits_of(self.get_input_datatype())
        height, width = pair(self.attribute("ImgDim"))
        down, right = pair(self.attribute("Stride"))
        fold = int(self.attribute("NumChannels")) // lanes
        block = Block(
            "qd_dilate",
            {"WIDTH": bits, "CF": fold, "H": height, "W": width, "SH": down, "SW": right},
            (bits,),
            (bits,),
        )
        return single(block)

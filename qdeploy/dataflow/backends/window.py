"""Sliding window: `qd_window` behind FINN's ConvolutionInputGenerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.convolutioninputgenerator import ConvolutionInputGenerator
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.backends.unit import Block, Unit, single

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class ConvolutionInputGenerator_qd_rtl(  # noqa: N801 (FINN's naming scheme)
    QdBackend, ConvolutionInputGenerator
):
    """FINN's sliding window; channel order by kernel position, or by channel when depthwise."""

    def use_parallel_window_output(self) -> bool:
        """FINN's hook: one kernel position a beat, never the whole window."""
        return False

    def get_exp_cycles(self) -> int:
        """Cycles a frame: the longer of reading the map and writing the windows."""
        fold = self.attribute("IFMChannels") // self.attribute("SIMD")
        height, width = pair(self.attribute("IFMDim"))
        out_height, out_width = pair(self.attribute("OFMDim"))
        kernel_height, kernel_width = pair(self.attribute("ConvKernelDim"))
        written = out_height * out_width * kernel_height * kernel_width
        return int(fold * max(height * width, written))

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
        simd = int(self.attribute("SIMD"))
        bits = simd * bits_of(self.get_input_datatype())
        height, width = pair(self.attribute("IFMDim"))
        kernel, stride, dilation = (
            pair(self.attribute(key)) for key in ("ConvKernelDim", "Stride", "Dilation")
        )
        block = Block(
            "qd_window",
            {
                "WIDTH": bits,
                "CF": int(self.attribute("IFMChannels")) // simd,
                "H": height,
                "W": width,
                "KH": kernel[0],
                "KW": kernel[1],
                "SH": stride[0],
                "SW": stride[1],
                "DH": dilation[0],
                "DW": dilation[1],
                "DEPTHWISE": int(self.attribute("depthwise")),
            },
            (bits,),
            (bits,),
        )
        return single(block)

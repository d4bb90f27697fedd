"""Sliding window behind FINN's ConvolutionInputGenerator: `qd_window`, one kernel position a beat,
or `qd_window_parallel`, the whole window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.convolutioninputgenerator import ConvolutionInputGenerator
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.backends.unit import Block, Unit, single
from qdeploy.errors import InternalError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class ConvolutionInputGenerator_qd_rtl(  # noqa: N801 (FINN's naming scheme)
    QdBackend, ConvolutionInputGenerator
):
    """FINN's sliding window; channel order by kernel position, or by channel when depthwise."""

    def use_parallel_window_output(self) -> bool:
        """FINN's hook: the whole window in a beat, where the folding asks for it."""
        return bool(self.attribute("parallel_window"))

    def get_exp_cycles(self) -> int:
        """Cycles a frame: the longer of reading the map and writing the windows."""
        fold = self.attribute("IFMChannels") // self.attribute("SIMD")
        height, width = pair(self.attribute("IFMDim"))
        out_height, out_width = pair(self.attribute("OFMDim"))
        kernel_height, kernel_width = pair(self.attribute("ConvKernelDim"))
        positions = 1 if self.use_parallel_window_output() else kernel_height * kernel_width
        written = out_height * out_width * positions
        return int(fold * max(height * width, written))

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
        simd = int(self.attribute("SIMD"))
        bits = simd * bits_of(self.get_input_datatype())
        height, width = pair(self.attribute("IFMDim"))
        kernel, stride, dilation = (
            pair(self.attribute(key)) for key in ("ConvKernelDim", "Stride", "Dilation")
        )
        fold = int(self.attribute("IFMChannels")) // simd
        parameters: dict[str, int | str] = {
            "WIDTH": bits,
            "H": height,
            "W": width,
            "KH": kernel[0],
            "KW": kernel[1],
            "SH": stride[0],
            "SW": stride[1],
            "DH": dilation[0],
            "DW": dilation[1],
        }
        depthwise = int(self.attribute("depthwise"))
        if self.use_parallel_window_output():
            if fold != 1 or depthwise:
                raise InternalError(
                    f"`{self.onnx_node.name}`: a parallel window takes whole pixels and is not "
                    "depthwise"
                )
            wide = bits * kernel[0] * kernel[1]
            return single(Block("qd_window_parallel", parameters, (bits,), (wide,)))
        parameters |= {"CF": fold, "DEPTHWISE": depthwise}
        return single(Block("qd_window", parameters, (bits,), (bits,)))

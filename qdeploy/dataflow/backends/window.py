"""FINN's ConvolutionInputGenerator: `qd_window` outputs one kernel position per beat,
`qd_window_parallel` the whole window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finn.custom_op.fpgadataflow.convolutioninputgenerator import ConvolutionInputGenerator
from finn.transformation.fpgadataflow.convert_to_hw.conv_inp_gen import InferConvInpGen

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.cost.features import MEASURED
from qdeploy.dataflow.finn.nodes import AHEAD
from qdeploy.dataflow.finn.operators import Inference, Kind, Operator, Turn, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.errors import InternalError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Memory of the rows; a kind other than the usual one is a choice within these bounds.
MEMORY = "memory"
MOST_LUTS, FEWEST_LUTS = 600, 24


@declare
class ConvolutionInputGenerator_qd_rtl(  # noqa: N801 (FINN's naming scheme)
    QdBackend, ConvolutionInputGenerator
):
    """FINN's sliding window; channel order by kernel position, or by channel when depthwise."""

    operator = Operator(
        name="ConvolutionInputGenerator",
        suffix="window",
        part="windows and padding",
        kind=Kind.WINDOW,
        inference=Inference(Turn.WINDOWS, InferConvInpGen),
        channels="IFMChannels",
    )

    def use_parallel_window_output(self) -> bool:
        """FINN's hook: the whole window in one beat, where the folding chooses it."""
        return bool(self.attribute("parallel_window"))

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the longer of reading the map and writing the windows."""
        fold = self.attribute("IFMChannels") // self.attribute("SIMD")
        height, width = pair(self.attribute("IFMDim"))
        out_height, out_width = pair(self.attribute("OFMDim"))
        kernel_height, kernel_width = pair(self.attribute("ConvKernelDim"))
        positions = 1 if self.use_parallel_window_output() else kernel_height * kernel_width
        written = out_height * out_width * positions
        return int(fold * (max(height * width, written) + self._gap() * width))

    def _gap(self) -> int:
        """Rows of the next frame that have to come in after the last window, at most."""
        ahead = int(self.attribute(AHEAD))
        if not ahead or self.use_parallel_window_output():
            return 0
        span = pair(self.attribute("Dilation"))[0] * (pair(self.attribute("ConvKernelDim"))[0] - 1)
        return max(span + 1 - ahead + 1, 0)

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: attributes of FINN's operator and those of this backend."""
        return super().get_nodeattr_types() | {
            AHEAD: ("i", False, 0),
            MEMORY: ("s", False, "auto", {"auto", "block", "distributed"}),
        }

    def styles(self) -> list[dict[str, int | str]]:
        """Choices: rows for the next frame without a gap, or as few as there can be, in
        LUT RAM or block RAM."""
        tall = pair(self.attribute("ConvKernelDim"))[0] > 1
        rows = [0, 1] if tall and not self.use_parallel_window_output() else [0]
        return [{AHEAD: ahead, MEMORY: kind} for ahead in rows for kind in self._memories(ahead)]

    def _memories(self, ahead: int) -> list[str]:
        """Kinds of memory for the rows: the usual one, and the other where that is sensible."""
        usual = MEASURED.ram(*self._size(ahead))
        if usual.kind == "block":
            other = MEASURED.ram(*self._size(ahead), "distributed")
            return ["auto", "distributed"] if other.lutram <= MOST_LUTS else ["auto"]
        return ["auto", "block"] if usual.lutram >= FEWEST_LUTS else ["auto"]

    def _size(self, ahead: int) -> tuple[int, int]:
        """Bits of a word and words of the memory."""
        bits = int(self.attribute("SIMD")) * bits_of(self.get_input_datatype())
        width = pair(self.attribute("IFMDim"))[1]
        span = pair(self.attribute("Dilation"))[0] * (pair(self.attribute("ConvKernelDim"))[0] - 1)
        if self.use_parallel_window_output():
            return max(span, 1) * bits, width
        fold = int(self.attribute("IFMChannels")) // int(self.attribute("SIMD"))
        return bits, (span + 1 + (ahead or span + 1)) * width * fold

    def unit(self, model: ModelWrapper) -> Unit:
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
            "RAM_STYLE": str(self.attribute(MEMORY)),
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
        parameters |= {"CF": fold, "DEPTHWISE": depthwise, "AHEAD": int(self.attribute(AHEAD))}
        return single(Block("qd_window", parameters, (bits,), (bits,)))

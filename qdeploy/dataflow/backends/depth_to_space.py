"""Channels as pixels: `qd_depth_to_space` implements an operator that FINN does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow import register_custom_op
from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp
from qonnx.core.datatype import DataType

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.operators import LayerFrom, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single

if TYPE_CHECKING:
    from onnx import GraphProto
    from qonnx.core.datatype import BaseDataType
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class StreamingDepthToSpace(HWCustomOp):
    """Channel (by·B + bx)·C + c of a pixel becomes channel c of pixel (by, bx) of its square.

    Written against FINN's contract of a hardware operator; channels last.
    """

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: size of the input map, its channels, lanes, the square's side, the type."""
        return {
            **super().get_nodeattr_types(),
            "ImgDim": ("ints", True, []),
            "NumChannels": ("i", True, 0),
            "SIMD": ("i", False, 1),
            "BlockSize": ("i", True, 2),
            "inputDataType": ("s", True, ""),
        }

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """FINN's hook: (1, rows, columns, channels)."""
        height, width = (int(size) for size in self.get_nodeattr("ImgDim"))
        return (1, height, width, int(self.get_nodeattr("NumChannels")))

    def get_normal_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """FINN's hook: (1, rows, columns, channels)."""
        _, height, width, channels = self.get_normal_input_shape()
        size = int(self.get_nodeattr("BlockSize"))
        return (1, height * size, width * size, channels // size**2)

    def get_folded_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """FINN's hook: the axes of the pixels, beats per pixel, lanes."""
        return self._folded(self.get_normal_input_shape())

    def get_folded_output_shape(self, ind: int = 0) -> tuple[int, ...]:
        """FINN's hook: the axes of the pixels, beats per pixel, lanes."""
        return self._folded(self.get_normal_output_shape())

    def _folded(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        lanes = int(self.get_nodeattr("SIMD"))
        return (*shape[:-1], shape[-1] // lanes, lanes)

    def get_input_datatype(self, ind: int = 0) -> BaseDataType:
        """FINN's hook."""
        return DataType[self.get_nodeattr("inputDataType")]

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        """FINN's hook: that of the input."""
        return self.get_input_datatype()

    def get_instream_width(self, ind: int = 0) -> int:
        """FINN's hook: bits per beat."""
        return int(self.get_nodeattr("SIMD")) * bits_of(self.get_input_datatype())

    def get_outstream_width(self, ind: int = 0) -> int:
        """FINN's hook: bits per beat."""
        return self.get_instream_width()

    def get_exp_cycles(self) -> int:
        """FINN's hook: cycles per frame, the beats of either side."""
        return int(np.prod(self.get_folded_input_shape()[:-1]))

    def infer_node_datatype(self, model: ModelWrapper) -> None:
        """FINN's hook: codes keep their type."""
        dtype = model.get_tensor_datatype(self.onnx_node.input[0])
        self.set_nodeattr("inputDataType", dtype.name)
        model.set_tensor_datatype(self.onnx_node.output[0], dtype)

    def execute_node(self, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """FINN's hook: run it in Python."""
        size, node = int(self.get_nodeattr("BlockSize")), self.onnx_node
        frames, height, width, channels = context[node.input[0]].shape
        parts = context[node.input[0]].reshape(
            frames, height, width, size, size, channels // size**2
        )
        shape = (frames, height * size, width * size, channels // size**2)
        context[node.output[0]] = parts.transpose(0, 1, 3, 2, 4, 5).reshape(shape)


@declare
class StreamingDepthToSpace_qd_rtl(  # noqa: N801 (FINN's naming scheme)
    QdBackend, StreamingDepthToSpace
):
    """Channels laid out as pixels."""

    operator = Operator(
        name="StreamingDepthToSpace",
        suffix="spread",
        part="windows and padding",
        layer_from=LayerFrom.NAME,
        lanes="SIMD",
        rows_kept=1,
    )

    def unit(self, model: ModelWrapper) -> Unit:
        lanes, size = int(self.attribute("SIMD")), int(self.attribute("BlockSize"))
        bits = lanes * bits_of(self.get_input_datatype())
        _, _, width, channels = self.get_normal_input_shape()
        block = Block(
            "qd_depth_to_space",
            {"WIDTH": bits, "CF": channels // size**2 // lanes, "W": width, "B": size},
            (bits,),
            (bits,),
        )
        return single(block)

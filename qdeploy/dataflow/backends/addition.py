"""Addition: of two streams with `qd_add`, of a constant per channel with `qd_bias`.

Both are FINN's ElementwiseAdd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.elementwise_binary import ElementwiseAdd
from finn.transformation.fpgadataflow.convert_to_hw.elementwise_binary_operation import (
    InferElementwiseBinaryOperation,
)

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.operators import Inference, LayerFrom, Operator, Turn, declare
from qdeploy.dataflow.rtl.memories import threshold_lines
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.design.loading import Load
from qdeploy.ir.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class ElementwiseAdd_qd_rtl(QdBackend, ElementwiseAdd):  # noqa: N801 (FINN's naming scheme)
    """FINN's elementwise addition."""

    operator = Operator(
        name="ElementwiseAdd",
        suffix="add",
        part="forks and additions",
        inference=Inference(Turn.ELEMENTS, InferElementwiseBinaryOperation),
        layer_from=LayerFrom.NAME,
        each_pixel=True,
        sums=True,
    )

    def set_sum_type(self, model: ModelWrapper, name: str) -> None:
        from qonnx.core.datatype import DataType

        for side, tensor in zip(("lhs", "rhs"), self.onnx_node.input, strict=True):
            self.set_nodeattr(f"{side}_dtype", model.get_tensor_datatype(tensor).name)
        self.set_nodeattr("out_dtype", name)
        model.set_tensor_datatype(self.onnx_node.output[0], DataType[name])

    def widen(self, model: ModelWrapper, many: int) -> None:
        for side, name in zip(("lhs", "rhs"), self.onnx_node.input, strict=True):
            values = model.get_initializer(name)
            if values is None:
                self._widen_shape(f"{side}_shape", many)
                continue
            model.set_initializer(name, np.concatenate([values] * many, axis=-1))
            self.set_nodeattr(f"{side}_shape", list(model.get_tensor_shape(name)))
        self._widen_shape("out_shape", many)

    def _widen_shape(self, key: str, many: int) -> None:
        batch, height, width, channels = (int(size) for size in self.attribute(key))
        self.set_nodeattr(key, [batch, height, width // many, channels * many])

    def unit(self, model: ModelWrapper) -> Unit:
        constant = model.get_initializer(self.onnx_node.input[1])
        return self._join() if constant is None else self._bias(constant)

    def _join(self) -> Unit:
        lanes = int(self.attribute("PE"))
        left, right = self.get_input_datatype(0), self.get_input_datatype(1)
        out_bits = bits_of(self.get_output_datatype())
        block = Block(
            "qd_add",
            {
                "PE": lanes,
                "B0": bits_of(left),
                "S0": int(left.signed()),
                "B1": bits_of(right),
                "S1": int(right.signed()),
                "OB": out_bits,
            },
            (lanes * bits_of(left), lanes * bits_of(right)),
            (lanes * out_bits,),
        )
        return single(block)

    def _bias(self, constant: np.ndarray) -> Unit:
        bias = constant.astype(np.int64).reshape(-1, 1)
        lanes = int(self.attribute("PE"))
        in_bits = bits_of(self.get_input_datatype(0))
        bias_bits = IntType.holding(min(int(bias.min()), -1), int(bias.max())).bits
        loads: tuple[Load, ...] = ()
        if self.loadable():
            bias_bits = max(bias_bits, in_bits)
        out_bits = bits_of(self.get_output_datatype())
        name = f"{self.onnx_node.name}.hex"
        if self.loadable():
            loads = (Load((name,), lanes * bias_bits, len(bias) // lanes),)
        block = Block(
            "qd_bias",
            {
                "C": bias.shape[0],
                "PE": lanes,
                "IB": in_bits,
                "BB": bias_bits,
                "OB": out_bits,
                "BFILE": name,
            },
            (lanes * in_bits,),
            (lanes * out_bits,),
            loads=loads,
        )
        return single(block, lambda: {name: threshold_lines(bias, lanes, bias_bits)})

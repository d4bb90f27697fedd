"""Addition: of two streams with `qd_add`, of a constant per channel with `qd_bias`.

Both are FINN's ElementwiseAdd.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.elementwise_binary import ElementwiseAdd
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.rtl.memories import threshold_lines
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.ir.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class ElementwiseAdd_qd_rtl(QdBackend, ElementwiseAdd):  # noqa: N801 (FINN's naming scheme)
    """FINN's elementwise addition."""

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
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
        out_bits = bits_of(self.get_output_datatype())
        name = f"{self.onnx_node.name}.hex"
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
        )
        return single(block, lambda: {name: threshold_lines(bias, lanes, bias_bits)})

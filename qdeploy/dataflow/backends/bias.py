"""Integer bias: `qd_bias` behind FINN's ElementwiseAdd with a constant second operand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.elementwise_binary import ElementwiseAdd
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.backends.unit import Block, Unit
from qdeploy.dataflow.memories import threshold_lines
from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class ElementwiseAdd_qd_rtl(QdBackend, ElementwiseAdd):  # noqa: N801 (FINN's)
    """FINN's addition of a constant per channel."""

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class.

        Raises:
            UnsupportedLayerError: when both operands are streams.
        """
        node = self.onnx_node
        constant = model.get_initializer(node.input[1])
        if constant is None:
            raise UnsupportedLayerError(
                f"`{node.name}` adds two streams", do="remove the residual connection"
            )
        bias = constant.astype(np.int64).reshape(-1, 1)
        lanes = int(self.attribute("PE"))
        in_bits = bits_of(self.get_input_datatype(0))
        bias_bits = IntType.holding(min(int(bias.min()), -1), int(bias.max())).bits
        out_bits = bits_of(self.get_output_datatype())
        name = f"{node.name}.hex"
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
            lanes * in_bits,
            lanes * out_bits,
        )
        return Unit((block,), {name: threshold_lines(bias, lanes, bias_bits)})

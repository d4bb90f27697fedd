"""Thresholds of their own: `qd_threshold` behind FINN's Thresholding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.rtl import register_custom_op
from finn.custom_op.fpgadataflow.thresholding import Thresholding

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.backends.unit import Block, Unit, chain
from qdeploy.dataflow.memories import threshold_files
from qdeploy.lowering.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class Thresholding_qd_rtl(QdBackend, Thresholding):  # noqa: N801 (FINN's naming scheme)
    """FINN's stand-alone thresholds, as behind a residual sum or on codes."""

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
        node = self.onnx_node
        table = model.get_initializer(node.input[1]).astype(np.int64)
        inputs, out_bits = self.get_input_datatype(0), bits_of(self.get_output_datatype())
        lanes, channels = int(self.attribute("PE")), int(self.attribute("NumChannels"))
        lo = min(int(inputs.min()), int(table.min()), -1)
        bits = IntType.holding(lo, max(int(inputs.max()), int(table.max()))).bits
        widen = Block(
            "qd_extend",
            {"PE": lanes, "IB": bits_of(inputs), "SIGNED": int(inputs.signed()), "OB": bits},
            (lanes * bits_of(inputs),),
            (lanes * bits,),
        )
        compare = Block(
            "qd_threshold",
            {
                "C": channels,
                "PE": lanes,
                "ACC": bits,
                "NT": table.shape[1],
                "OB": out_bits,
                "BASE": int(self.attribute("ActVal")),
                "TFILE": f"{node.name}_t",
            },
            (lanes * bits,),
            (lanes * out_bits,),
        )
        blocks = [compare] if bits == bits_of(inputs) else [widen, compare]
        rows = np.broadcast_to(table, (channels, table.shape[1]))
        return chain(blocks, threshold_files(f"{node.name}_t", rows, lanes, bits))

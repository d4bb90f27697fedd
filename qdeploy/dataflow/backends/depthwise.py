"""Depthwise unit: `qd_depthwise` behind FINN's VVAU, fed channel by channel by a window."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.rtl import register_custom_op
from finn.custom_op.fpgadataflow.vectorvectoractivation import VVAU

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.backends.mvau import MIN_DSP_BITS
from qdeploy.dataflow.backends.unit import Block, Unit, chain
from qdeploy.dataflow.memories import (
    MAX_PARALLEL_LEVELS,
    threshold_files,
    weight_lines,
)
from qdeploy.lowering.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class VVAU_qd_rtl(QdBackend, VVAU):  # noqa: N801 (FINN's naming scheme)
    """FINN's VVAU, one kernel position a cycle (SIMD 1), thresholds included."""

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
        node = self.onnx_node
        channels, pe = int(self.attribute("Channels")), int(self.attribute("PE"))
        positions = prod(int(size) for size in self.attribute("Kernel"))
        inputs, weights = self.get_input_datatype(0), self.get_input_datatype(1)
        levels = 0 if self.attribute("noActivation") else model.get_tensor_shape(node.input[2])[1]
        acc_bits = self.accumulator_bits(model)
        out_bits = bits_of(self.get_output_datatype())
        parallel = 0 < levels <= MAX_PARALLEL_LEVELS
        result_bits = acc_bits if levels and not parallel else out_bits
        w_file, t_stem = f"{node.name}_w.hex", f"{node.name}_t"
        # FINN keeps (channels, 1, height, width); a word is one position of PE channels.
        kernel = model.get_initializer(node.input[1]).astype(np.int64).reshape(channels, positions)
        folded = kernel.reshape(channels // pe, pe, positions).transpose(1, 0, 2)
        memories = {w_file: weight_lines(folded.reshape(pe, -1), pe, 1, bits_of(weights))}
        if levels:
            table = model.get_initializer(node.input[2]).astype(np.int64)
            memories |= threshold_files(t_stem, table, pe, acc_bits)
        blocks = [
            Block(
                "qd_depthwise",
                {
                    "C": channels,
                    "K": positions,
                    "PE": pe,
                    "WB": bits_of(weights),
                    "AB": bits_of(inputs),
                    "ASIGNED": int(inputs.signed()),
                    "ACC": acc_bits if levels else out_bits,
                    "NT": levels if parallel else 0,
                    "OB": result_bits,
                    "BASE": int(self.attribute("ActVal")) if parallel else 0,
                    # One product a lane: a multiplier is smaller than planes at every width.
                    "DOT": "mult",
                    "USE_DSP": "yes" if self.uses_dsp() else "no",
                    "WFILE": w_file,
                    "TFILE": f"{t_stem}.hex" if parallel else "",
                },
                (pe * bits_of(inputs),),
                (pe * result_bits,),
            )
        ]
        if levels and not parallel:
            blocks.append(
                Block(
                    "qd_threshold",
                    {
                        "C": channels,
                        "PE": pe,
                        "ACC": acc_bits,
                        "NT": levels,
                        "OB": out_bits,
                        "BASE": int(self.attribute("ActVal")),
                        "TFILE": t_stem,
                    },
                    (pe * acc_bits,),
                    (pe * out_bits,),
                )
            )
        return chain(blocks, memories)

    def uses_dsp(self) -> bool:
        """Whether the multipliers may become DSP blocks."""
        operands = bits_of(self.get_input_datatype(0)) + bits_of(self.get_input_datatype(1))
        return operands >= MIN_DSP_BITS and self.attribute("resType") != "lut"

    def accumulator_bits(self, model: ModelWrapper) -> int:
        """Signed width that holds every accumulator and every threshold."""
        kind = self.get_accumulator_datatype()
        lo, hi = int(kind.min()), int(kind.max())
        if not self.attribute("noActivation"):
            table = model.get_initializer(self.onnx_node.input[2])
            lo, hi = min(lo, int(table.min())), max(hi, int(table.max()))
        return IntType.holding(min(lo, -1), hi).bits

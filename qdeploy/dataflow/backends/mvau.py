"""Matrix-vector unit: `qd_mvu`, with `qd_threshold` behind it where there are many levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.matrixvectoractivation import MVAU
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.backends.unit import Block, Unit, chain
from qdeploy.dataflow.memories import (
    MAX_PARALLEL_LEVELS,
    threshold_files,
    weight_lines,
)
from qdeploy.lowering.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Bit planes pay up to 3 x 3 bits; beyond, multipliers are smaller.
MAX_PLANE_BITS = 3
# From this width product on a DSP block beats LUTs.
MIN_DSP_BITS = 12
# Deeper weight memories go to block RAM.
MAX_LUT_ROM_DEPTH = 128


@register_custom_op
class MVAU_qd_rtl(QdBackend, MVAU):  # noqa: N801 (FINN's naming scheme)
    """FINN's MVAU on bit planes or multipliers, thresholds included."""

    def get_exp_cycles(self) -> int:
        """Cycles a frame: one per weight word and input vector."""
        rows = self.attribute("MH") // self.attribute("PE")
        columns = self.attribute("MW") // self.attribute("SIMD")
        return int(rows * columns * np.prod(self.attribute("numInputVectors")))

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
        node = self.onnx_node
        mw, mh, pe, simd = (int(self.attribute(key)) for key in ("MW", "MH", "PE", "SIMD"))
        inputs, weights = self.get_input_datatype(0), self.get_input_datatype(1)
        levels = 0 if self.attribute("noActivation") else model.get_tensor_shape(node.input[2])[1]
        acc_bits = self.accumulator_bits(model)
        out_bits = bits_of(self.get_output_datatype())
        parallel = 0 < levels <= MAX_PARALLEL_LEVELS
        w_file, t_stem = f"{node.name}_w.hex", f"{node.name}_t"
        matrix = model.get_initializer(node.input[1]).astype(np.int64).T
        memories = {w_file: weight_lines(matrix, pe, simd, bits_of(weights))}
        if levels:
            table = model.get_initializer(node.input[2]).astype(np.int64)
            memories |= threshold_files(t_stem, table, pe, acc_bits)
        planes = max(bits_of(inputs), bits_of(weights)) <= MAX_PLANE_BITS
        result_bits = out_bits if parallel else acc_bits
        if levels == 0:
            result_bits = out_bits
        mvu = Block(
            "qd_mvu",
            {
                "MW": mw,
                "MH": mh,
                "PE": pe,
                "SIMD": simd,
                "WB": bits_of(weights),
                "AB": bits_of(inputs),
                "ASIGNED": int(inputs.signed()),
                "ACC": result_bits if levels == 0 else acc_bits,
                "NT": levels if parallel else 0,
                "OB": result_bits,
                "BASE": int(self.attribute("ActVal")) if parallel else 0,
                "DOT": "planes" if planes else "mult",
                "USE_DSP": "yes" if self.uses_dsp() else "no",
                "WFILE": w_file,
                "TFILE": f"{t_stem}.hex" if parallel else "",
                "WRAM_STYLE": self.ram_style(),
            },
            (simd * bits_of(inputs),),
            (pe * result_bits,),
        )
        blocks = [mvu]
        if levels and not parallel:
            blocks.append(
                Block(
                    "qd_threshold",
                    {
                        "C": mh,
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

    def ram_style(self) -> str:
        """Kind of memory for the weights: as asked for, or by depth."""
        asked = str(self.attribute("ram_style"))
        if asked != "auto":
            return asked
        depth = self.attribute("MW") * self.attribute("MH")
        depth //= self.attribute("PE") * self.attribute("SIMD")
        return "auto" if depth <= MAX_LUT_ROM_DEPTH else "block"

    def accumulator_bits(self, model: ModelWrapper) -> int:
        """Signed width that holds every accumulator and every threshold."""
        kind = self.get_accumulator_datatype()
        lo, hi = int(kind.min()), int(kind.max())
        if not self.attribute("noActivation"):
            table = model.get_initializer(self.onnx_node.input[2])
            lo, hi = min(lo, int(table.min())), max(hi, int(table.max()))
        return IntType.holding(min(lo, -1), hi).bits

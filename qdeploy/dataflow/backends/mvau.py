"""Matrix-vector unit: `qd_mvu`, and what makes the codes behind it where they have many levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.matrixvectoractivation import MVAU
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.accumulating import AccumulatingBackend
from qdeploy.dataflow.backends.base import bits_of
from qdeploy.dataflow.backends.unit import Block, Unit, chain
from qdeploy.dataflow.memories import weight_lines

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Bit planes pay up to 3 x 3 bits; beyond, multipliers are smaller.
MAX_PLANE_BITS = 3
# Deeper weight memories go to block RAM.
MAX_LUT_ROM_DEPTH = 128


@register_custom_op
class MVAU_qd_rtl(AccumulatingBackend, MVAU):  # noqa: N801 (FINN's naming scheme)
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
        activation = self.activation(model, pe)
        planes = max(bits_of(inputs), bits_of(weights)) <= MAX_PLANE_BITS
        w_file = f"{node.name}_w.hex"
        block = Block(
            "qd_mvu",
            {
                "MW": mw,
                "MH": mh,
                "PE": pe,
                "SIMD": simd,
                "WB": bits_of(weights),
                "AB": bits_of(inputs),
                "ASIGNED": int(inputs.signed()),
                "DOT": "planes" if planes else "mult",
                "USE_DSP": "yes" if self.uses_dsp() else "no",
                "WFILE": w_file,
                "WRAM_STYLE": self.ram_style(),
                **activation.parameters,
            },
            (simd * bits_of(inputs),),
            (pe * activation.bits,),
        )
        matrix = model.get_initializer(node.input[1]).astype(np.int64).T
        memories = {w_file: weight_lines(matrix, pe, simd, bits_of(weights))}
        return chain([block, *activation.behind], memories | activation.memories)

    def ram_style(self) -> str:
        """Kind of memory for the weights: as asked for, or by depth."""
        asked = str(self.attribute("ram_style"))
        if asked != "auto":
            return asked
        depth = self.attribute("MW") * self.attribute("MH")
        depth //= self.attribute("PE") * self.attribute("SIMD")
        return "auto" if depth <= MAX_LUT_ROM_DEPTH else "block"

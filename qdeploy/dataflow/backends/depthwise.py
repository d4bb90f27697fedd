"""Depthwise unit: `qd_depthwise` implements FINN's VVAU, fed channel by channel by a window."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.vectorvectoractivation import VVAU
from finn.transformation.fpgadataflow.convert_to_hw.vector_vector_activation import (
    InferVectorVectorActivation,
)

from qdeploy.dataflow.backends.accumulating import AccumulatingBackend
from qdeploy.dataflow.backends.base import bits_of
from qdeploy.dataflow.finn.operators import Inference, Operator, Turn, declare
from qdeploy.dataflow.rtl.memories import hex_lines
from qdeploy.dataflow.rtl.unit import Block, Unit, chain
from qdeploy.design.loading import Load

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class VVAU_qd_rtl(AccumulatingBackend, VVAU):  # noqa: N801 (FINN's naming scheme)
    """FINN's VVAU, one kernel position per cycle (SIMD 1), thresholds included."""

    operator = Operator(
        name="VVAU",
        suffix="vvau",
        part="matrix units",
        inference=Inference(Turn.CHANNEL_PRODUCTS, InferVectorVectorActivation),
        channels="Channels",
        weights=1,
        thresholds=2,
        sums=True,
        bursts=True,
    )

    def unit(self, model: ModelWrapper) -> Unit:
        node = self.onnx_node
        channels, pe = int(self.attribute("Channels")), int(self.attribute("PE"))
        positions = prod(int(size) for size in self.attribute("Kernel"))
        inputs, weights = self.get_input_datatype(0), self.get_input_datatype(1)
        stage = self.output_stage(model, pe)
        w_file = f"{node.name}_w.hex"
        block = Block(
            "qd_depthwise",
            {
                "C": channels,
                "K": positions,
                "PE": pe,
                "WB": bits_of(weights),
                "AB": bits_of(inputs),
                "ASIGNED": int(inputs.signed()),
                # One product per lane: a multiplier is smaller than planes at every width.
                "DOT": self.dot(),
                "USE_DSP": int(self.uses_dsp()),
                "WFILE": w_file,
                **stage.parameters,
            },
            (pe * bits_of(inputs),),
            (pe * stage.bits,),
            loads=(
                Load((w_file,), pe * bits_of(weights), channels // pe * positions),
                *stage.loads,
            )
            if self.loadable()
            else (),
        )

        def memories() -> dict[str, list[str]]:
            # FINN keeps (channels, 1, height, width); a word is one position of PE channels.
            kernel = model.get_initializer(node.input[1]).astype(np.int64)
            words = kernel.reshape(channels // pe, pe, positions).transpose(0, 2, 1)
            return {w_file: hex_lines(words, bits_of(weights), pe), **stage.memories()}

        return chain([block, *stage.after], memories)

    def styles(self) -> list[dict[str, int | str]]:
        """Choices: where products are made, and how codes are."""
        products, codes = self.product_styles(self.dot()), super().styles()
        return [product | code for product in products for code in codes]

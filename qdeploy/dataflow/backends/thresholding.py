"""Codes of sums and of codes, on their own: FINN's Thresholding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from finn.custom_op.fpgadataflow.thresholding import Thresholding
from finn.transformation.fpgadataflow.convert_to_hw.thresholding import InferThresholdingLayer

from qdeploy.dataflow.backends.base import bits_of
from qdeploy.dataflow.backends.requantization import RequantizingBackend
from qdeploy.dataflow.finn.operators import Inference, Operator, Turn, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, chain

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.ir.integer_graph import IntArray


@declare
class Thresholding_qd_rtl(RequantizingBackend, Thresholding):  # noqa: N801 (FINN's naming scheme)
    """FINN's stand-alone thresholds, as after a residual sum or on codes."""

    operator = Operator(
        name="Thresholding",
        suffix="thres",
        part="thresholds",
        inference=Inference(Turn.THRESHOLDS, InferThresholdingLayer),
        channels="NumChannels",
        thresholds=1,
        each_pixel=True,
    )

    def widen(self, model: ModelWrapper, many: int) -> None:
        self._widen_vectors(many)
        self.repeat_channels(model, many)

    def unit(self, model: ModelWrapper) -> Unit:
        inputs, out_bits = self.get_input_datatype(0), bits_of(self.get_output_datatype())
        lanes, bits = int(self.attribute("PE")), self.accumulator_bits(model)
        widen = Block(
            "qd_extend",
            {"PE": lanes, "IB": bits_of(inputs), "SIGNED": int(inputs.signed()), "OB": bits},
            (lanes * bits_of(inputs),),
            (lanes * bits,),
        )
        codes, memories = self.codes_block(model, lanes, out_bits)
        return chain([codes] if bits == bits_of(inputs) else [widen, codes], memories)

    def table(self, model: ModelWrapper) -> IntArray:
        table = model.get_initializer(self.onnx_node.input[1]).astype(np.int64)
        return np.broadcast_to(table, (int(self.attribute("NumChannels")), table.shape[1]))

    def sums(self, model: ModelWrapper) -> tuple[int, int]:
        inputs = self.get_input_datatype(0)
        return int(inputs.min()), int(inputs.max())

"""Index of the largest logit: `qd_argmax` implements FINN's LabelSelect."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow.labelselect import LabelSelect
from finn.transformation.fpgadataflow.convert_to_hw.label_select import InferLabelSelectLayer

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.operators import Inference, LayerFrom, Operator, Turn, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.errors import InternalError, UnsupportedLayerError

if TYPE_CHECKING:
    from onnx import GraphProto
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class LabelSelect_qd_rtl(QdBackend, LabelSelect):  # noqa: N801 (FINN's naming)
    """FINN's LabelSelect for the top label; the lowest index wins a tie."""

    operator = Operator(
        name="LabelSelect",
        suffix="argmax",
        part="argmax",
        inference=Inference(Turn.ELEMENTS, InferLabelSelectLayer),
        layer_from=LayerFrom.NAME,
        channels="Labels",
    )

    @classmethod
    def execute_plain(cls, plain: Any, context: dict[str, np.ndarray], graph: GraphProto) -> None:
        """FINN's LabelSelect runs onnxruntime inside and wants float32."""
        name = plain.onnx_node.input[0]
        narrow = context[name].astype(np.float32)
        if not np.array_equal(narrow, context[name]):
            raise InternalError(f"`{plain.onnx_node.name}`: logits do not fit float32")
        context[name] = narrow
        plain.execute_node(context, graph)

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the beats of every vector, where FINN counts those of one."""
        beats = int(self.attribute("Labels")) // int(self.attribute("PE"))
        return beats * prod(int(size) for size in self.attribute("numInputVectors"))

    def unit(self, model: ModelWrapper) -> Unit:
        """Blocks at the present folding.

        Raises:
            UnsupportedLayerError: for more than the top label, or unsigned logits.
        """
        dtype = self.get_input_datatype()
        if self.attribute("K") != 1 or not dtype.signed():
            raise UnsupportedLayerError(
                f"`{self.onnx_node.name}` asks for the top {self.attribute('K')} of "
                f"{'signed' if dtype.signed() else 'unsigned'} logits",
                why="the hardware block finds the one largest of signed logits",
                do="leave --argmax out and choose on the host",
            )
        lanes = int(self.attribute("PE"))
        out_bits = bits_of(self.get_output_datatype())
        block = Block(
            "qd_argmax",
            {
                "N": int(self.attribute("Labels")),
                "PE": lanes,
                "BITS": bits_of(dtype),
                "IDX": out_bits,
            },
            (lanes * bits_of(dtype),),
            (out_bits,),
        )
        return single(block)

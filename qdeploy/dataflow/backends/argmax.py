"""Index of the largest logit: `qd_argmax` behind FINN's LabelSelect."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.labelselect import LabelSelect
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.errors import UnsupportedLayerError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class LabelSelect_qd_rtl(QdBackend, LabelSelect):  # noqa: N801 (FINN's naming)
    """FINN's LabelSelect for the top label; the lowest index wins a tie."""

    def get_exp_cycles(self) -> int:
        """Cycles a frame: the beats of every vector, where FINN counts those of one."""
        beats = int(self.attribute("Labels")) // int(self.attribute("PE"))
        return beats * prod(int(size) for size in self.attribute("numInputVectors"))

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class.

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

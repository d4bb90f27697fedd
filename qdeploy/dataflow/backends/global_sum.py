"""Sum over all pixels: `qd_global_sum` implements FINN's GlobalAccPool."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from finn.custom_op.fpgadataflow.globalaccpool import GlobalAccPool

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.nodes import SUM_TYPE
from qdeploy.dataflow.finn.operators import LayerFrom, Operator, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single

if TYPE_CHECKING:
    from qonnx.core.datatype import BaseDataType
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class GlobalAccPool_qd_rtl(QdBackend, GlobalAccPool):  # noqa: N801 (FINN's naming scheme)
    """FINN's accumulating global pool; the 1/N of an average is in the next scale."""

    operator = Operator(
        name="GlobalAccPool",
        suffix="sum",
        part="pools",
        layer_from=LayerFrom.NAME,
        channels="NumChannels",
        sums=True,
        one_pixel=True,
    )

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: its attributes, and the type that holds the exact sums."""
        return {**super().get_nodeattr_types(), SUM_TYPE: ("s", True, "")}

    def set_sum_type(self, model: ModelWrapper, name: str) -> None:
        self.set_nodeattr(SUM_TYPE, name)

    def get_output_datatype(self, ind: int = 0) -> BaseDataType:
        """FINN's hook: as narrow as the sums that occur allow."""
        from qonnx.core.datatype import DataType

        return DataType[self.attribute(SUM_TYPE)]

    def get_exp_cycles(self) -> int:
        """Cycles per frame: the input's beats."""
        fold = int(self.attribute("NumChannels")) // int(self.attribute("PE"))
        return int(fold * prod(int(size) for size in self.attribute("numInputVectors")))

    def unit(self, model: ModelWrapper) -> Unit:
        lanes, dtype = int(self.attribute("PE")), self.get_input_datatype()
        out_bits = bits_of(self.get_output_datatype())
        block = Block(
            "qd_global_sum",
            {
                "PE": lanes,
                "BITS": bits_of(dtype),
                "SIGNED": int(dtype.signed()),
                "CF": int(self.attribute("NumChannels")) // lanes,
                "PIXELS": prod(int(size) for size in self.attribute("numInputVectors")),
                "OB": out_bits,
            },
            (lanes * bits_of(dtype),),
            (lanes * out_bits,),
        )
        return single(block)

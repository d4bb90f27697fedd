"""Max-pool: `qd_maxpool` implements FINN's Pool, fed by a depthwise sliding window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.pool import Pool
from finn.transformation.fpgadataflow.convert_to_hw.pool import InferPool

from qdeploy.dataflow.backends.base import QdBackend, bits_of, pair
from qdeploy.dataflow.finn.operators import Inference, LayerFrom, Operator, Turn, declare
from qdeploy.dataflow.rtl.unit import Block, Unit, single
from qdeploy.errors import UnsupportedLayerError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class Pool_qd_rtl(QdBackend, Pool):  # noqa: N801 (FINN's naming scheme)
    """FINN's Pool with the function MaxPool."""

    operator = Operator(
        name="Pool",
        suffix="pool",
        part="pools",
        inference=Inference(Turn.POOLS, InferPool),
        layer_from=LayerFrom.NAME,
        channels="Channels",
        bursts=True,
    )

    def unit(self, model: ModelWrapper) -> Unit:
        """Blocks at the present folding.

        Raises:
            UnsupportedLayerError: for another pooling function.
        """
        if self.attribute("Function") != "MaxPool":
            raise UnsupportedLayerError(
                f"`{self.onnx_node.name}` pools with {self.attribute('Function')}",
                why="only the maximum has a hardware block",
                do="use max-pooling",
            )
        lanes, dtype = int(self.attribute("PE")), self.get_input_datatype()
        kernel = pair(self.attribute("KernelSize"))
        bits = lanes * bits_of(dtype)
        block = Block(
            "qd_maxpool",
            {
                "K": kernel[0] * kernel[1],
                "PE": lanes,
                "BITS": bits_of(dtype),
                "SIGNED": int(dtype.signed()),
            },
            (bits,),
            (bits,),
        )
        return single(block)

"""A stream to several consumers: `qd_fork` implements FINN's DuplicateStreams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.duplicatestreams import DuplicateStreams
from finn.transformation.fpgadataflow.convert_to_hw.duplicate_streams import (
    InferDuplicateStreamsLayer,
)

from qdeploy.dataflow.backends.base import QdBackend
from qdeploy.dataflow.finn.operators import Inference, LayerFrom, Operator, Turn, declare
from qdeploy.dataflow.rtl.unit import Block, Instance, Unit

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@declare
class DuplicateStreams_qd_rtl(QdBackend, DuplicateStreams):  # noqa: N801 (FINN's naming scheme)
    """FINN's stream duplication; more than two copies are forks in a row."""

    operator = Operator(
        name="DuplicateStreams",
        suffix="fork",
        part="forks and additions",
        inference=Inference(Turn.FORKS, InferDuplicateStreamsLayer),
        layer_from=LayerFrom.PRODUCER,
        channels="NumChannels",
        each_pixel=True,
        copies=True,
    )

    def widen(self, model: ModelWrapper, many: int) -> None:
        self._widen_vectors(many)

    def unit(self, model: ModelWrapper) -> Unit:
        bits = int(self.get_instream_width())
        copies = int(self.attribute("NumOutputStreams"))
        block = Block("qd_fork", {"WIDTH": bits}, (bits,), (bits, bits))
        sources = ["in0", *(f"rest{index}" for index in range(1, copies - 1))]
        rests = [*sources[1:], f"out{copies - 1}"]
        return Unit(
            tuple(
                Instance(block, (source,), (f"out{index}", rest))
                for index, (source, rest) in enumerate(zip(sources, rests, strict=True))
            )
        )

"""A stream to several consumers: `qd_fork` behind FINN's DuplicateStreams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finn.custom_op.fpgadataflow.duplicatestreams import DuplicateStreams
from finn.custom_op.fpgadataflow.rtl import register_custom_op

from qdeploy.dataflow.backends.base import QdBackend
from qdeploy.dataflow.rtl.unit import Block, Instance, Unit

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@register_custom_op
class DuplicateStreams_qd_rtl(QdBackend, DuplicateStreams):  # noqa: N801 (FINN's naming scheme)
    """FINN's stream duplication; more than two copies are forks one behind the other."""

    def unit(self, model: ModelWrapper) -> Unit:
        """See the base class."""
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

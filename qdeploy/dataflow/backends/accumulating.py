"""What units share that accumulate and then compare: widths, multipliers, where thresholds go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.backends.unit import Block
from qdeploy.dataflow.memories import MAX_PARALLEL_LEVELS, threshold_files
from qdeploy.lowering.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# From this sum of operand widths on a DSP block beats LUTs.
MIN_DSP_BITS = 12


@dataclass(frozen=True)
class Activation:
    """How a unit's accumulators become its output.

    Args:
        parameters: of the unit's own block: ACC, NT, OB, BASE, TFILE.
        bits: width of a lane behind the unit's own block.
        search: the `qd_threshold` behind it where there are too many levels to compare at once.
        memories: files of the thresholds.
    """

    parameters: dict[str, int | str]
    bits: int
    search: tuple[Block, ...]
    memories: dict[str, list[str]]


class AccumulatingBackend(QdBackend):
    """A matrix or depthwise unit; thresholds are its third input where it has any."""

    def activation(self, model: ModelWrapper, channels: int, lanes: int) -> Activation:
        """Thresholds inside the block up to 15 levels, behind it beyond, or none."""
        out_bits = bits_of(self.get_output_datatype())
        if self.attribute("noActivation"):
            parameters: dict[str, int | str] = {
                "ACC": out_bits,
                "NT": 0,
                "OB": out_bits,
                "BASE": 0,
                "TFILE": "",
            }
            return Activation(parameters, out_bits, (), {})
        node = self.onnx_node
        table = model.get_initializer(node.input[2]).astype(np.int64)
        levels, stem = table.shape[1], f"{node.name}_t"
        accumulator, base = self.accumulator_bits(model), int(self.attribute("ActVal"))
        memories = threshold_files(stem, table, lanes, accumulator)
        if levels <= MAX_PARALLEL_LEVELS:
            parameters = {
                "ACC": accumulator,
                "NT": levels,
                "OB": out_bits,
                "BASE": base,
                "TFILE": f"{stem}.hex",
            }
            return Activation(parameters, out_bits, (), memories)
        search = Block(
            "qd_threshold",
            {
                "C": channels,
                "PE": lanes,
                "ACC": accumulator,
                "NT": levels,
                "OB": out_bits,
                "BASE": base,
                "TFILE": stem,
            },
            (lanes * accumulator,),
            (lanes * out_bits,),
        )
        parameters = {"ACC": accumulator, "NT": 0, "OB": accumulator, "BASE": 0, "TFILE": ""}
        return Activation(parameters, accumulator, (search,), memories)

    def uses_dsp(self) -> bool:
        """Whether the multipliers may become DSP blocks."""
        operands = bits_of(self.get_input_datatype(0)) + bits_of(self.get_input_datatype(1))
        return operands >= MIN_DSP_BITS and self.attribute("resType") != "lut"

    def accumulator_bits(self, model: ModelWrapper) -> int:
        """Signed width that holds every accumulator and every threshold."""
        kind = self.get_accumulator_datatype()
        lo, hi = int(kind.min()), int(kind.max())
        if not self.attribute("noActivation"):
            table = model.get_initializer(self.onnx_node.input[2])
            lo, hi = min(lo, int(table.min())), max(hi, int(table.max()))
        return IntType.holding(min(lo, -1), hi).bits

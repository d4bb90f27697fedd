"""What units share that accumulate and then compare: widths, multipliers, where thresholds go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.backends.base import bits_of
from qdeploy.dataflow.backends.requantization import RequantizingBackend
from qdeploy.dataflow.rtl.memories import MAX_PARALLEL_LEVELS, threshold_files, threshold_loads
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.dataflow.rtl.unit import Block, Memories
from qdeploy.design.loading import Load

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.ir.integer_graph import IntArray

# From this sum of operand widths on, a DSP block costs less than LUTs; from the other on, a folding
# may choose one.
MIN_DSP_BITS = 12
FIRST_DSP_BITS = 10


@dataclass(frozen=True)
class OutputStage:
    """How a unit's accumulators become its output.

    Args:
        parameters: of the unit's own block: ACC, NT, OB, BASE, TFILE.
        bits: width per lane after the unit's own block.
        after: blocks that make the codes where there are too many levels to compare at once.
        memories: files of the thresholds.
        loads: what the configuration stream writes in the unit's own block.
    """

    parameters: dict[str, int | str]
    bits: int
    after: tuple[Block, ...]
    memories: Memories
    loads: tuple[Load, ...] = ()


class AccumulatingBackend(RequantizingBackend):
    """A matrix or depthwise unit; thresholds are its third input where it has any."""

    def output_stage(self, model: ModelWrapper, lanes: int) -> OutputStage:
        """Thresholds inside the block where all are compared, codes made after it, or none."""
        out_bits = bits_of(self.get_output_datatype())
        if not self.makes_codes():
            return OutputStage(_raw(out_bits), out_bits, (), dict)
        table = self.levels(model)
        accumulator = self.accumulator_bits(model)
        if table.shape[1] <= MAX_PARALLEL_LEVELS and not self.searches():
            name = f"{self.onnx_node.name}_t"
            parameters: dict[str, int | str] = {
                "ACC": accumulator,
                "NT": table.shape[1],
                "OB": out_bits,
                "BASE": int(self.attribute("ActVal")),
                "TFILE": f"{name}.hex",
            }
            return OutputStage(
                parameters,
                out_bits,
                (),
                lambda: threshold_files(name, table, lanes, accumulator),
                threshold_loads(name, table.shape, lanes, accumulator) if self.loadable() else (),
            )
        block, memories = self.codes_block(model, lanes, out_bits)
        return OutputStage(_raw(accumulator), accumulator, (block,), memories)

    def table(self, model: ModelWrapper) -> IntArray:
        table: IntArray = model.get_initializer(self.onnx_node.input[2]).astype(np.int64)
        return table

    def set_sum_type(self, model: ModelWrapper, name: str) -> None:
        from qonnx.core.datatype import DataType

        self.set_nodeattr("accDataType", name)
        if not self.makes_codes():
            self.set_nodeattr("outputDataType", name)
            model.set_tensor_datatype(self.onnx_node.output[0], DataType[name])

    def uses_dsp(self) -> bool:
        """Whether the multipliers may become DSP blocks."""
        asked = str(self.attribute("resType"))
        return asked == "dsp" or (asked == "auto" and self._operand_bits() >= MIN_DSP_BITS)

    def _operand_bits(self) -> int:
        return bits_of(self.get_input_datatype(0)) + bits_of(self.get_input_datatype(1))

    def product_styles(self, dot: DotKind) -> list[dict[str, int | str]]:
        """Where products may be made; bit planes and XNORs know only LUTs."""
        if dot != DotKind.MULTIPLIERS or self._operand_bits() < FIRST_DSP_BITS:
            return [{}]
        return [{"resType": "lut"}, {"resType": "dsp"}]

    def sums(self, model: ModelWrapper) -> tuple[int, int]:
        kind = self.get_accumulator_datatype()
        return int(kind.min()), int(kind.max())

    def level_range(self, model: ModelWrapper) -> tuple[int, int]:
        # The type is that of sums and of a threshold that none reaches (`ir.any_weights`).
        return self.sums(model)

    def makes_codes(self) -> bool:
        return not self.attribute("noActivation")

    def dot(self) -> DotKind:
        """How products are summed: the block's parameter DOT."""
        return DotKind.MULTIPLIERS

    def weight_bits(self, model: ModelWrapper) -> int:
        """Width of a weight in its memory."""
        return bits_of(self.get_input_datatype(1))


def _raw(bits: int) -> dict[str, int | str]:
    """Parameters of a block that outputs its accumulators."""
    return {"ACC": bits, "NT": 0, "OB": bits, "BASE": 0, "TFILE": ""}

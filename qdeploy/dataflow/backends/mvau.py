"""Matrix-vector unit: `qd_mvu` or `qd_unrolled`, followed by what makes codes of many levels.

Bits a in {0, 1} times weights in {-1, +1} are an XNOR: with s = 2·a - 1,

    2·Σ w·a - Σ w = Σ w·s        so  Σ w·a >= T  where  Σ w·s >= 2·T - Σ w

and the code 0 of a padded pixel is s = -1, as the formula has it. M·Σ w·a + B, which makes codes of
many levels, is half of M·Σ w·s + (2·B + M·Σ w).

With PE = MH and SIMD = MW every weight is used in every cycle: then `qd_unrolled` and sums
that have the weights in their logic take its place.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from finn.custom_op.fpgadataflow.matrixvectoractivation import MVAU
from finn.transformation.fpgadataflow.convert_to_hw.quantized_matrix_vector_activation import (
    InferQuantizedMatrixVectorActivation,
)

from qdeploy.dataflow.backends.accumulating import AccumulatingBackend
from qdeploy.dataflow.backends.base import bits_of
from qdeploy.dataflow.backends.unrolled import unrolled_block
from qdeploy.dataflow.cost.features import MEASURED
from qdeploy.dataflow.finn.nodes import ROW_SUMS
from qdeploy.dataflow.finn.operators import Inference, Kind, Operator, Turn, declare
from qdeploy.dataflow.rtl.memories import split_lines, weight_lines
from qdeploy.dataflow.rtl.products import READ_MEMORY, READ_TABLES, DotKind
from qdeploy.dataflow.rtl.unit import Block, Unit, chain
from qdeploy.design.loading import Load

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.ir.fixed_point import FixedPoint
    from qdeploy.ir.integer_graph import IntArray

# Bit planes pay up to 3 x 3 bits; beyond, multipliers are smaller.
MAX_PLANE_BITS = 3
# Deeper weight memories go to block RAM.
MAX_LUT_ROM_DEPTH = 128
# Bits that constant sums may add at most, about as many LUTs: more takes too long to plan.
MAX_CONSTANT_BITS = 40_000
# Columns of weights that may go to LUTs, where block RAM for them would be one more block.
MAX_TABLE_COLUMNS = 16
TABLES = "tables"


@declare
class MVAU_qd_rtl(AccumulatingBackend, MVAU):  # noqa: N801 (FINN's naming scheme)
    """FINN's MVAU on bit planes or multipliers, thresholds included."""

    operator = Operator(
        name="MVAU",
        suffix="mvau",
        part="matrix units",
        kind=Kind.MATRIX,
        inference=Inference(Turn.PRODUCTS, InferQuantizedMatrixVectorActivation),
        channels="MH",
        weights=1,
        thresholds=2,
        sums=True,
        bursts=True,
    )

    def get_exp_cycles(self) -> int:
        """Cycles per frame: one per weight word and input vector."""
        rows = self.attribute("MH") // self.attribute("PE")
        columns = self.attribute("MW") // self.attribute("SIMD")
        return int(rows * columns * np.prod(self.attribute("numInputVectors")))

    def unit(self, model: ModelWrapper) -> Unit:
        if self._is_constant():
            return self._constant_unit(model)
        node = self.onnx_node
        mw, mh, pe, simd = (int(self.attribute(key)) for key in ("MW", "MH", "PE", "SIMD"))
        inputs, weight_bits, dot = (
            self.get_input_datatype(0),
            self.weight_bits(model),
            self.dot(),
        )
        stage = self.output_stage(model, pe)
        style = self.ram_style()
        w_file, rest = f"{node.name}_w.hex", 0 if self.loadable() else int(self.attribute(TABLES))
        rest_file = f"{node.name}_r.hex" if rest else ""
        block = Block(
            "qd_mvu",
            {
                "MW": mw,
                "MH": mh,
                "PE": pe,
                "SIMD": simd,
                "WB": weight_bits,
                "AB": bits_of(inputs),
                "ASIGNED": int(inputs.signed()),
                "DOT": dot,
                "USE_DSP": int(self.uses_dsp()),
                "READ": READ_TABLES if style == "registers" else READ_MEMORY,
                "WFILE": w_file,
                "WRAM_STYLE": style,
                "WREST": rest,
                "WRESTFILE": rest_file,
                **stage.parameters,
            },
            (simd * bits_of(inputs),),
            (pe * stage.bits,),
            loads=(Load((w_file,), pe * simd * weight_bits, self._depth()), *stage.loads)
            if self.loadable()
            else (),
        )

        def memories() -> dict[str, list[str]]:
            matrix = self._matrix(model)
            words = (matrix + 1) // 2 if dot == DotKind.XNOR else matrix
            lines = weight_lines(words, pe, simd, weight_bits)
            if not rest:
                return {w_file: lines, **stage.memories()}
            low, high = split_lines(lines, pe * simd * weight_bits - rest)
            return {w_file: low, rest_file: high, **stage.memories()}

        return chain([block, *stage.after], memories)

    def _constant_unit(self, model: ModelWrapper) -> Unit:
        """Every weight in the logic."""
        inputs, stage = (
            self.get_input_datatype(0),
            self.output_stage(model, self.attribute("PE")),
        )
        block = unrolled_block(
            self._matrix(model),
            bits_of(inputs),
            inputs.signed(),
            stage.parameters,
            stage.bits,
        )
        return chain([block, *stage.after], stage.memories)

    def _matrix(self, model: ModelWrapper) -> IntArray:
        """Weights (MH, MW)."""
        matrix: IntArray = model.get_initializer(self.onnx_node.input[1]).astype(np.int64).T
        return matrix

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: attributes of FINN's operator and those of this backend."""
        return super().get_nodeattr_types() | {
            ROW_SUMS: ("ints", False, []),
            TABLES: ("i", False, 0),
        }

    def set_row_sums(self, sums: IntArray) -> None:
        """Make it an XNOR unit: Σ w of each row, all w -1 or +1, the inputs' codes 0 and 1."""
        self.set_nodeattr(ROW_SUMS, sums.tolist())

    def dot(self) -> DotKind:
        if self._is_binary():
            return DotKind.XNOR
        return DotKind.MULTIPLIERS if self._is_wide() else DotKind.PLANES

    def _is_wide(self) -> bool:
        """Whether operands are too wide for bit planes."""
        inputs, weights = self.get_input_datatype(0), self.get_input_datatype(1)
        return max(bits_of(inputs), bits_of(weights)) > MAX_PLANE_BITS

    def _is_constant(self) -> bool:
        """Whether the weights become logic: all of them are used at once, and not by DSP blocks."""
        if self.loadable() or self._depth() > 1 or (self._is_wide() and self.uses_dsp()):
            return False
        # About half of all ternary weights are zero; wider ones have a digit for each three bits.
        digits = max(0.5, bits_of(self.get_input_datatype(1)) / 3)
        size = self.attribute("MW") * self.attribute("MH")
        return bool(size * digits * bits_of(self.get_input_datatype(0)) <= MAX_CONSTANT_BITS)

    def weight_bits(self, model: ModelWrapper) -> int:
        return 1 if self._is_binary() else super().weight_bits(model)

    def table(self, model: ModelWrapper) -> IntArray:
        table = super().table(model)
        return 2 * table - self._row_sums()[:, None] if self._is_binary() else table

    def level_range(self, model: ModelWrapper) -> tuple[int, int]:
        lo, hi = super().level_range(model)
        return (lo, hi + 1) if self._is_binary() else (lo, hi)

    def sums(self, model: ModelWrapper) -> tuple[int, int]:
        if not self._is_binary():
            return super().sums(model)
        return -int(self.attribute("MW")), int(self.attribute("MW"))

    def fixed_point(self, model: ModelWrapper) -> FixedPoint | None:
        found = super().fixed_point(model)
        if found is None or not self._is_binary():
            return found
        bias = 2 * found.bias + found.multiplier * self._row_sums()
        return replace(found, bias=bias, shift=found.shift + 1)

    def _is_binary(self) -> bool:
        return len(self.attribute(ROW_SUMS)) > 0 and not self._is_constant()

    def _row_sums(self) -> IntArray:
        return np.array(self.attribute(ROW_SUMS), dtype=np.int64)

    def ram_style(self) -> str:
        """Kind of memory for the weights: as asked for, or by depth."""
        asked = str(self.attribute("ram_style"))
        if self.loadable():
            return "auto" if self._depth() == 1 else asked
        if asked == "distributed":
            return "registers"  # there is no LUT RAM for what is never written: tables of logic
        if asked != "auto":
            return asked
        return "auto" if self._depth() <= MAX_LUT_ROM_DEPTH else "block"

    def _depth(self) -> int:
        """Words of the weight memory."""
        size = self.attribute("MW") * self.attribute("MH")
        return int(size // (self.attribute("PE") * self.attribute("SIMD")))

    def styles(self) -> list[dict[str, int | str]]:
        """Choices: memory of the weights, where products are made, and how codes are."""
        products, codes = self.product_styles(self.dot()), super().styles()
        return [
            {**memory, **product, **code}
            for memory in self._memory_styles()
            for product in products
            for code in codes
        ]

    def _memory_styles(self) -> list[dict[str, int | str]]:
        """Tables, block RAM, or block RAM but for a few columns that would take one more."""
        depth = self._depth()
        if self.loadable():
            kinds = ("distributed", "block") if depth > 1 else ("distributed",)
            return [{"ram_style": kind, TABLES: 0} for kind in kinds]
        found: list[dict[str, int | str]] = [{"ram_style": "distributed", TABLES: 0}]
        if depth == 1:
            return found
        found.append({"ram_style": "block", TABLES: 0})
        bits = 1 if self._is_binary() else bits_of(self.get_input_datatype(1))
        width = int(self.attribute("PE") * self.attribute("SIMD")) * bits
        whole = MEASURED.rom(width, depth, "block").bram18
        for rest in range(1, min(MAX_TABLE_COLUMNS + 1, width)):
            if MEASURED.rom(width - rest, depth, "block").bram18 < whole:
                return [*found, {"ram_style": "block", TABLES: rest}]
        return found

"""From sums to codes of many levels: multiplied (`qd_requant`) or searched (`qd_threshold`).

Up to 15 levels thresholds are compared all at once, by the unit that sums where it can, or from 7
on searched, as the folding chooses: a search takes a comparator for each bit of the code instead of
one for each level, and deeper memories. Beyond, it is a search; where fixed-point numbers give the
same codes (`dataflow/finn/fit_requantization.py` finds and proves them) one multiplier per lane
replaces it. The thresholds stay the node's definition: FINN executes them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.dataflow.backends.base import QdBackend, bits_of
from qdeploy.dataflow.finn.nodes import REQUANTIZE
from qdeploy.dataflow.rtl.memories import (
    MAX_PARALLEL_LEVELS,
    threshold_files,
    threshold_loads,
    wide_lines,
)
from qdeploy.dataflow.rtl.unit import Block, Memories
from qdeploy.design.loading import Load
from qdeploy.ir.fixed_point import FixedPoint, Multiplier
from qdeploy.ir.integer_graph import IntType

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

    from qdeploy.ir.integer_graph import IntArray

# For multipliers this narrow, LUTs cost less than a DSP.
MAX_TABLE_MULTIPLIER = 2
# With fewer levels comparing all at once is always smaller.
FIRST_SEARCHED_LEVELS = 7
SEARCH = "search"
_MULTIPLIERS, _BIASES = "requantMultipliers", "requantBiases"
_SHIFT, _EVEN = "requantShift", "requantEven"
# Bits of multipliers that are loaded; 0 for as many as the numbers need.
_BITS = "requantBits"


class RequantizingBackend(QdBackend):
    """A layer that puts out codes; its node carries the fixed-point numbers, where there are any.

    The attributes `requantize` (0 searches in spite of them) and `search` (1 searches few levels
    too) are the folding's choice.
    """

    def get_nodeattr_types(self) -> dict[str, Any]:
        """FINN's hook: attributes of FINN's operator and of the requantization."""
        return super().get_nodeattr_types() | {
            REQUANTIZE: ("i", False, 1, {0, 1}),
            SEARCH: ("i", False, 0, {0, 1}),
            _MULTIPLIERS: ("ints", False, []),
            _BIASES: ("ints", False, []),
            _SHIFT: ("i", False, 0),
            _EVEN: ("i", False, 0, {0, 1}),
            _BITS: ("i", False, 0),
        }

    def styles(self) -> list[dict[str, int | str]]:
        """Choices: multiply or search for codes, or compare with all levels."""
        if self.has_fixed_point():
            return [{REQUANTIZE: 1}, {REQUANTIZE: 0}]
        levels = (1 << bits_of(self.get_output_datatype())) - 1
        if self.makes_codes() and FIRST_SEARCHED_LEVELS <= levels <= MAX_PARALLEL_LEVELS:
            return [{SEARCH: 0}, {SEARCH: 1}]
        return [{}]

    def searches(self) -> bool:
        """Whether few levels are searched, too."""
        return bool(self.attribute(SEARCH))

    def set_fixed_point(self, found: FixedPoint, bits: int = 0) -> None:
        """Keep fixed-point numbers with the node, repeated for each pixel of a beat.

        Args:
            bits: of multipliers that are loaded; 0 for as many as these need.
        """
        channels = int(self.attribute(str(self.operator.channels)))
        times = max(1, channels // len(found.multiplier))
        self.set_nodeattr(_MULTIPLIERS, found.multiplier.tolist() * times)
        self.set_nodeattr(_BIASES, found.bias.tolist() * times)
        self.set_nodeattr(_BITS, bits)
        self.set_nodeattr(_SHIFT, found.shift)
        self.set_nodeattr(_EVEN, int(found.even))

    def repeat_channels(self, model: ModelWrapper, times: int) -> None:
        """Follow an output whose channels are repeated, one copy for each pixel of a beat: what is
        per channel is repeated for each further pixel."""
        index = self.operator.thresholds
        if index is not None and index < len(self.onnx_node.input):
            name = self.onnx_node.input[index]
            table = model.get_initializer(name)
            # One row for several channels is for all of them.
            if len(table) * times == int(self.attribute(str(self.operator.channels))):
                model.set_initializer(name, np.tile(table, (times, 1)))
        if self.has_fixed_point():
            for key in (_MULTIPLIERS, _BIASES):
                self.set_nodeattr(key, list(self.attribute(key)) * times)

    def has_fixed_point(self) -> bool:
        """Whether the codes can come from a multiplication."""
        return len(self.attribute(_MULTIPLIERS)) > 0

    def loaded_multiplier(self) -> Multiplier | None:
        """What other numbers have to fit, None where thresholds are compared or searched."""
        if not (self.loadable() and self.has_fixed_point() and self.attribute(REQUANTIZE)):
            return None
        return Multiplier(int(self.attribute(_BITS)), int(self.attribute(_SHIFT)))

    @abstractmethod
    def table(self, model: ModelWrapper) -> IntArray:
        """Thresholds (channels, levels) of the block's own sums."""

    @abstractmethod
    def sums(self, model: ModelWrapper) -> tuple[int, int]:
        """The smallest and the largest sum the block makes codes of."""

    def fixed_point(self, model: ModelWrapper) -> FixedPoint | None:
        """The numbers to multiply with, None where thresholds are compared or searched."""
        if not self.has_fixed_point() or not self.attribute(REQUANTIZE):
            return None
        return FixedPoint(
            np.array(self.attribute(_MULTIPLIERS), dtype=np.int64),
            np.array(self.attribute(_BIASES), dtype=np.int64),
            int(self.attribute(_SHIFT)),
            bool(self.attribute(_EVEN)),
            int(self.attribute("ActVal")),
            self.table(model).shape[1],
        )

    def level_range(self, model: ModelWrapper) -> tuple[int, int]:
        """Where thresholds that are loaded lie: from one that every sum reaches to one that none
        does."""
        lo, hi = self.sums(model)
        return min(lo, -1), hi + 1

    def levels(self, model: ModelWrapper) -> IntArray:
        """The thresholds in its memory, those out of reach at the ends of `level_range` where
        they are loaded."""
        table = self.table(model)
        return np.clip(table, *self.level_range(model)) if self.loadable() else table

    def accumulator_bits(self, model: ModelWrapper) -> int:
        """Signed width that holds every sum, and every threshold it is compared with."""
        if self.loadable() and self.makes_codes():
            return IntType.holding(*self.level_range(model)).bits
        lo, hi = self.sums(model)
        if self.makes_codes() and self.fixed_point(model) is None:
            table = self.table(model)
            lo, hi = min(lo, int(table.min())), max(hi, int(table.max()))
        return IntType.holding(min(lo, -1), hi).bits

    def makes_codes(self) -> bool:
        """Whether the layer has thresholds."""
        return True

    def codes_block(self, model: ModelWrapper, lanes: int, out_bits: int) -> tuple[Block, Memories]:
        """The block that makes codes of `accumulator_bits` wide sums, and its memories."""
        bits, table = self.accumulator_bits(model), self.levels(model)
        fixed = self.fixed_point(model)
        # What all channels share is one word, read again and again: nothing to address, and the
        # numbers are constants, which need no multiplier.
        same = not self.loadable() and bool((table == table[0]).all())
        shared = same and (fixed is None or fixed.shared)
        channels = lanes if shared else len(table)
        table = table[:channels]
        name = self.onnx_node.name
        loads: tuple[Load, ...] = ()
        parameters: dict[str, int | str] = {"C": channels, "PE": lanes, "ACC": bits}
        if fixed is None:
            stem = f"{name}_t"
            parameters |= {
                "NT": table.shape[1],
                "OB": out_bits,
                "BASE": int(self.attribute("ActVal")),
                "SEARCH": int(self.searches()),
                "TFILE": stem,
            }
            block = "qd_threshold"
            if self.loadable():
                loads = threshold_loads(stem, table.shape, lanes, bits, search=self.searches())

            def memories() -> dict[str, list[str]]:
                return threshold_files(stem, table, lanes, bits, search=self.searches())

        else:
            m_file, b_file = f"{name}_m.hex", f"{name}_b.hex"
            multipliers, biases = fixed.multiplier[:channels], fixed.bias[:channels]
            m_bits, b_bits = fixed.multiplier_bits, fixed.bias_bits
            if self.loadable():
                m_bits = int(self.attribute(_BITS))
                # A sum within its range and its code differ by no more than the bias.
                b_bits = max(out_bits + fixed.shift + 1, m_bits + bits) + 2
                widths = ((m_file, m_bits), (b_file, b_bits))
                loads = tuple(
                    Load((file,), lanes * width, channels // lanes) for file, width in widths
                )
            in_dsp = m_bits > MAX_TABLE_MULTIPLIER and not shared
            parameters |= {
                "MB": m_bits,
                "BB": b_bits,
                "SHIFT": fixed.shift,
                "EVEN": int(fixed.even),
                "OB": out_bits,
                "LO": fixed.base,
                "HI": fixed.base + fixed.levels,
                "USE_DSP": int(in_dsp),
                "MFILE": m_file,
                "BFILE": b_file,
            }
            block = "qd_requant"

            def memories() -> dict[str, list[str]]:
                return {
                    m_file: wide_lines(multipliers.tolist(), lanes, m_bits),
                    b_file: wide_lines(biases.tolist(), lanes, b_bits),
                }

        made = Block(block, parameters, (lanes * bits,), (lanes * out_bits,), loads=loads)
        return made, memories

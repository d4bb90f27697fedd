"""Backward rewriting: a word of a circuit as a polynomial over its inputs.

Begins with Σ 2^i · bit i and replaces the outputs of one cell after the other by what it computes,
those nearest to the output first, so that all uses of a cell's outputs are known when it is its
turn: then the word is there as a whole and is replaced by the sum of its operands. The package's
docstring says why each step is an identity.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from qdeploy.verify.sums.circuit import GATES, Circuit, extended
from qdeploy.verify.sums.polynomial import ONE as CONSTANT
from qdeploy.verify.sums.polynomial import (
    Polynomial,
    accumulate,
    bounds,
    centred,
    exclusive,
    inverted,
    later,
    modulo,
    product,
    variable,
)
from qdeploy.verify.sums.results import NotProvedError
from qdeploy.verify.sums.rtlil import ONE, UNKNOWN, Cell

_SUMS = {"$add": 1, "$sub": -1}
_REDUCTIONS = ("$reduce_xor", "$reduce_and", "$reduce_or")
# Signed and unsigned bits of an operand: their factors.
Weighted = list[tuple[int, int]]


class Rewriter:
    """Words of one circuit.

    Args:
        counters: modules whose output `count` is the number of ones in `x` one cycle before.
    """

    def __init__(self, circuit: Circuit, counters: Sequence[str] = ()) -> None:
        self.circuit = circuit
        self.counters = frozenset(f"\\{name}" for name in counters)
        self._gates: dict[int, Polynomial] = {}
        self._exact: dict[tuple[int, bool], Polynomial] = {}

    def word(self, bits: Sequence[int]) -> Polynomial:
        """The word modulo 2^(its bits), coefficients not negative.

        Raises:
            NotProvedError: a step is none of those in the package's docstring.
        """
        run = _Run(self, len(bits))
        for position, bit in enumerate(bits):
            run.use(bit, 0, 1 << position)
        return run.finish()

    def gate(self, bit: int) -> Polynomial:
        """A bit that gates make of inputs, as a polynomial, exact."""
        root, late = self.circuit.root(bit)
        if root not in self._gates:
            self._gates[root] = self._gate(root)
        return later(self._gates[root], late)

    def _gate(self, root: int) -> Polynomial:
        if root == UNKNOWN:
            raise NotProvedError("an undefined bit is used")
        if root < UNKNOWN:
            return {CONSTANT: 1} if root == ONE else {}
        if root in self.circuit.inputs:
            return variable(*self.circuit.inputs[root])
        cell, index = self.circuit.cells[root]
        width = len(cell.ports.get("Y", ()))
        if cell.kind in _REDUCTIONS and index == 0:
            found = self.gate(cell.ports["A"][0])
            for bit in cell.ports["A"][1:]:
                found = _combined(f"${cell.kind.removeprefix('$reduce_')}", found, self.gate(bit))
            return found
        if cell.kind == "$not":
            return inverted(self.gate(extended(cell, "A", width)[index]))
        if cell.kind in GATES:
            one, two = (self.gate(extended(cell, name, width)[index]) for name in "AB")
            return _combined(cell.kind, one, two)
        raise NotProvedError(f"a single bit of a `{cell.kind}` goes into logic")

    def exact(self, cell: Cell, signed: bool) -> Polynomial:
        """A cell's result as a number, exact, where its bounds show that it is.

        A polynomial that equals the word modulo 2^n and stays within the range of n bits is the
        word.

        Raises:
            NotProvedError: the bounds are wider than the word.
        """
        key = (id(cell), signed)
        if key not in self._exact:
            width = len(cell.ports["Y"])
            found = centred(self.word(cell.ports["Y"]), width)
            if not fits(*bounds(found), width, signed):
                raise NotProvedError(f"a `{cell.kind}` of {width} bits may overflow")
            self._exact[key] = found
        return self._exact[key]


class _Run:
    """One word."""

    def __init__(self, rewriter: Rewriter, width: int) -> None:
        self.rewriter, self.circuit = rewriter, rewriter.circuit
        self.width, self.mask = width, (1 << width) - 1
        self.found: Polynomial = {}
        # Coefficients of the outputs of cells that are yet to be replaced, by cell and cycles.
        self.waiting: dict[tuple[int, int], dict[int, int]] = {}
        self.cells: dict[int, Cell] = {}
        self.queue: list[tuple[int, int]] = []

    def use(self, bit: int, cycles: int, factor: int) -> None:
        """Add `factor` times a bit as it was `cycles` before."""
        if not factor & self.mask:
            return
        root, late = self.circuit.root(bit)
        cycles += late
        if root <= UNKNOWN:
            if root == UNKNOWN:
                raise NotProvedError("an undefined bit is used")
            accumulate(self.found, {CONSTANT: root * factor})
        elif root in self.circuit.inputs:
            port, index = self.circuit.inputs[root]
            key = ((port, index, cycles),)
            self.found[key] = self.found.get(key, 0) + factor
        else:
            cell, index = self.circuit.cells[root]
            place = -self.circuit.order(cell)
            if (place, cycles) not in self.waiting:
                self.waiting[place, cycles] = {}
                self.cells[place] = cell
                heapq.heappush(self.queue, (place, cycles))
            uses = self.waiting[place, cycles]
            uses[index] = uses.get(index, 0) + factor

    def finish(self) -> Polynomial:
        while self.queue:
            place, cycles = heapq.heappop(self.queue)
            self._replace(self.cells[place], cycles, self.waiting.pop((place, cycles)))
        return modulo(self.found, self.width)

    def _replace(self, cell: Cell, cycles: int, uses: dict[int, int]) -> None:
        if cell.kind in self.rewriter.counters:
            self._count(cell, cycles, uses)
        elif cell.kind == "$not":
            for index, factor in uses.items():
                accumulate(self.found, {CONSTANT: factor})
                self.use(extended(cell, "A", len(cell.ports["Y"]))[index], cycles, -factor)
        elif cell.kind in _SUMS or cell.kind == "$mul":
            self._sum(cell, cycles, uses)
        else:
            for index, factor in uses.items():
                bit = cell.ports["Y"][index] if "Y" in cell.ports else None
                if bit is None:
                    raise NotProvedError(f"`{cell.kind.lstrip(chr(92))}` is not known to count")
                accumulate(self.found, later(self.rewriter.gate(bit), cycles), factor)

    def _count(self, cell: Cell, cycles: int, uses: dict[int, int]) -> None:
        factor = uses.get(0, 0)
        if self._difference(uses, factor, len(cell.ports["count"])):
            raise NotProvedError("a counter's result is not used as one number")
        for bit in cell.ports["x"]:
            self.use(bit, cycles + 1, factor)

    def _sum(self, cell: Cell, cycles: int, uses: dict[int, int]) -> None:
        width = len(cell.ports["Y"])
        factor = uses.get(0, 0)
        odd = self._difference(uses, factor, width)
        # The top bit counting negative is the word in two's complement.
        signed = odd == [width - 1] and not (
            (uses.get(width - 1, 0) + (factor << (width - 1))) & self.mask
        )
        if odd and not signed:
            raise NotProvedError(f"a sum of {width} bits is not used as one number")
        wraps = bool((factor << width) & self.mask)
        if cell.kind == "$mul":
            found = self.rewriter.exact(cell, signed) if wraps else self._product(cell)
            accumulate(self.found, later(found, cycles), factor)
            return
        sign = _SUMS[cell.kind]
        parts = [
            (_weighted(cell, "A", width, signed), 1),
            (_weighted(cell, "B", width, signed), sign),
        ]
        if wraps and not self._within(parts, width, signed):
            accumulate(self.found, later(self.rewriter.exact(cell, signed), cycles), factor)
            return
        for bits, side in parts:
            for bit, value in bits:
                self.use(bit, cycles, factor * side * value)

    def _difference(self, uses: dict[int, int], factor: int, width: int) -> list[int]:
        """Output bits whose coefficients are not those of the word times `factor`."""
        return [
            index for index in range(width) if (uses.get(index, 0) - (factor << index)) & self.mask
        ]

    def _within(self, parts: list[tuple[Weighted, int]], width: int, signed: bool) -> bool:
        """Whether the operands' bits alone show that the sum does not wrap."""
        merged: dict[tuple[int, int], int] = {}
        low = high = 0
        for bits, side in parts:
            for bit, value in bits:
                root = self.circuit.root(bit)
                merged[root] = merged.get(root, 0) + side * value
        for (source, _), value in merged.items():
            if source == ONE:
                low, high = low + value, high + value
            elif source >= UNKNOWN:
                low, high = low + min(value, 0), high + max(value, 0)
        return fits(low, high, width, signed)

    def _product(self, cell: Cell) -> Polynomial:
        """A product modulo 2^(its bits)."""
        width = len(cell.ports["Y"])
        one, two = (self.rewriter.word(extended(cell, name, width)) for name in "AB")
        return modulo(product(one, two), width)


def fits(low: int, high: int, width: int, signed: bool) -> bool:
    """Whether `low` … `high` are numbers of `width` bits."""
    if signed:
        return low >= -(1 << (width - 1)) and high < 1 << (width - 1)
    return low >= 0 and high < 1 << width


def _weighted(cell: Cell, name: str, width: int, signed: bool) -> Weighted:
    bits = extended(cell, name, width)
    found = [(bit, 1 << position) for position, bit in enumerate(bits)]
    if signed:
        found[-1] = (bits[-1], -(1 << (width - 1)))
    return found


def _combined(kind: str, one: Polynomial, two: Polynomial) -> Polynomial:
    if kind == "$and":
        return product(one, two)
    if kind == "$xor":
        return exclusive(one, two)
    if kind == "$xnor":
        return inverted(exclusive(one, two))
    return inverted(product(inverted(one), inverted(two)))

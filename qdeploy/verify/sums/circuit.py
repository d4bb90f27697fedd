"""A module's cells with registers, aliases and constants resolved: who drives a bit, and when."""

from __future__ import annotations

from typing import Any

from qdeploy.verify.sums.results import NotProvedError
from qdeploy.verify.sums.rtlil import ONE, UNKNOWN, ZERO, Cell, Module

# A bit and the cycles by which it is late.
Late = tuple[int, int]
_SHIFTS = ("$shl", "$sshl")
# Cells with two operands and one result, bit by bit.
GATES = ("$and", "$or", "$xor", "$xnor")


class Circuit:
    """The module's bits by what drives them.

    Args:
        clock: the only clock there may be.

    Raises:
        NotProvedError: a bit has two drivers, or a register is no plain one of this clock.
    """

    def __init__(self, module: Module, clock: str = "clk") -> None:
        self.module = module
        self.inputs = {
            bit: (port, index)
            for port, bits in module.inputs.items()
            for index, bit in enumerate(bits)
        }
        self.cells: dict[int, tuple[Cell, int]] = {}
        self._same: dict[int, int] = {}
        self._stored: dict[int, int] = {}
        self._roots: dict[int, Late] = {}
        clocks: list[int] = []
        for driven, source in module.connections:
            self._drive(self._same, driven, source)
        for cell in module.cells:
            if cell.kind == "$dff":
                if cell.parameters.get("CLK_POLARITY") != 1:
                    raise NotProvedError("a register works at the falling edge")
                clocks += cell.ports["CLK"]
                for stored, source in zip(cell.ports["Q"], cell.ports["D"], strict=True):
                    self._drive(self._stored, stored, source)
            elif cell.kind.startswith("$"):
                for index, bit in enumerate(self._outputs(cell)):
                    self._drive(self.cells, bit, (cell, index))
            else:
                clocks += cell.ports["clk"]
                for index, bit in enumerate(cell.ports["count"]):
                    self._drive(self.cells, bit, (cell, index))
        (tick,) = module.inputs[clock]
        if any(self.root(bit) != (tick, 0) for bit in set(clocks)):
            raise NotProvedError(f"a register has a clock other than `{clock}`")
        self._order = self._ordered()

    @staticmethod
    def _outputs(cell: Cell) -> list[int]:
        if "Y" not in cell.ports:
            raise NotProvedError(f"there is a cell `{cell.kind}`")
        return cell.ports["Y"]

    def _drive(self, into: dict[int, Any], bit: int, source: Any) -> None:
        drivers = (self._same, self._stored, self.cells, self.inputs)
        if bit <= UNKNOWN or any(bit in taken for taken in drivers):
            raise NotProvedError("a bit has two drivers, or a constant one")
        into[bit] = source

    def root(self, bit: int) -> Late:
        """The input, constant or output of a cell that the bit is, and how many cycles before.

        Raises:
            NotProvedError: nothing drives it, or registers form a loop.
        """
        found = self._roots.get(bit)
        if found is not None:
            return found
        path: list[tuple[int, int]] = []
        seen: set[int] = set()
        at, end = bit, (bit, 0)
        while True:
            known = self._roots.get(at)
            if known is not None:
                end = known
                break
            if at in seen:
                raise NotProvedError("bits form a loop")
            seen.add(at)
            if at in self._stored:
                path.append((at, 1))
                at = self._stored[at]
                continue
            source = self._same.get(at)
            if source is None and at in self.cells:
                source = self._plain(*self.cells[at])
            if source is None:
                if at > UNKNOWN and at not in self.inputs and at not in self.cells:
                    raise NotProvedError("a bit has no driver")
                end = (at, 0)
                self._roots[at] = end
                break
            path.append((at, 0))
            at = source
        for step, cycles in reversed(path):
            end = (end[0], end[1] + cycles if end[0] > UNKNOWN else 0)
            self._roots[step] = end
        return self._roots[bit]

    def _plain(self, cell: Cell, index: int) -> int | None:
        """The bit that an output of a cell is the same as, None where the cell does something."""
        if cell.kind in _SHIFTS:
            by = sum(self._constant(bit) << at for at, bit in enumerate(cell.ports["B"]))
            return ZERO if index < by else extended(cell, "A", len(cell.ports["Y"]))[index - by]
        if cell.kind == "$pos":
            return extended(cell, "A", len(cell.ports["Y"]))[index]
        if cell.kind == "$and":
            pair = [extended(cell, name, len(cell.ports["Y"]))[index] for name in "AB"]
            if ZERO in pair:
                return ZERO
            for one, two in (pair, pair[::-1]):
                if one == ONE:
                    return two
        return None

    def _constant(self, bit: int) -> int:
        if bit > ONE:
            raise NotProvedError("a number is shifted by one that is not constant")
        return bit

    def order(self, cell: Cell) -> int:
        """Its place in an order in which every cell comes after those that feed it."""
        return self._order[id(cell)]

    def _ordered(self) -> dict[int, int]:
        order: dict[int, int] = {}
        open_cells: set[int] = set()
        for first in self.module.cells:
            stack = [(first, False)] if first.kind != "$dff" else []
            while stack:
                cell, done = stack.pop()
                if done:
                    order[id(cell)] = len(order)
                    open_cells.discard(id(cell))
                    continue
                if id(cell) in order:
                    continue
                if id(cell) in open_cells:
                    raise NotProvedError("cells form a loop")
                open_cells.add(id(cell))
                stack.append((cell, True))
                for bit in operands(cell):
                    root = self.root(bit)[0]
                    if root in self.cells:
                        feeding = self.cells[root][0]
                        if id(feeding) in open_cells:
                            raise NotProvedError("cells form a loop")
                        if id(feeding) not in order:
                            stack.append((feeding, False))
        return order


def operands(cell: Cell) -> list[int]:
    """Bits that a cell computes with."""
    names = ("A", "B") if cell.kind.startswith("$") else ("x",)
    return [bit for name in names for bit in cell.ports.get(name, [])]


def extended(cell: Cell, name: str, width: int) -> list[int]:
    """An operand of a cell, made as wide as its result: sign-extended where it is signed."""
    bits = cell.ports[name]
    other = {"A": "B", "B": "A"}[name]
    signed = bool(cell.parameters.get(f"{name}_SIGNED"))
    if other in cell.ports and cell.kind not in _SHIFTS:
        signed = signed and bool(cell.parameters.get(f"{other}_SIGNED"))
    fill = bits[-1] if signed else ZERO
    return [*bits, *[fill] * (width - len(bits))][:width]

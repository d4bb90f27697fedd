"""Where a quantized network needs quantizers, and which of them share one grid.

Layers, pools, averages, sums and concatenations read codes. An operation whose result is no codes
gets a quantizer where one of its readers needs codes; all its readers then read these.

    sum, concatenation  all operands on one grid, as an integer adder needs: their quantizers are
                        one. So is that of the sum itself where it needs one: a residual stream
                        stays on its grid, and the second quantizer only saturates. An operand that
                        is codes of another grid (an activation after a ReLU beside a signed one) is
                        quantized again.
                        Where all operands are activations after ReLUs, these share a quantizer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from qdeploy.tracing.operations import INPUT, FloatGraph, Kind, Operation, unique
from qdeploy.tracing.pools import is_global

# Name of the input's quantizer.
INPUT_QUANT = "input_quant"
_READ_CODES = frozenset({Kind.LAYER, Kind.POOL, Kind.AVERAGE, Kind.ADD, Kind.CONCAT})
_JOINS = frozenset({Kind.ADD, Kind.CONCAT})
_PASS = frozenset({Kind.VIEW, Kind.POOL})
# What an operation has ("after", "relu", "join"), and its name.
_Key = tuple[str, str]
# What may come between the input and its quantizer.
_BEFORE_CODES = frozenset({Kind.ARITHMETIC, Kind.NORM})


@dataclass(frozen=True)
class Grid:
    """One quantizer: its name in the network, and whether it has codes of both signs."""

    name: str
    signed: bool


@dataclass(frozen=True)
class Grids:
    """Quantizers of a network beside those of its ReLUs and its input.

    Args:
        after: operation -> the quantizer of its result.
        edges: (operation, place among its inputs) -> the quantizer of what it reads there.
        relus: ReLU -> the first of those with one quantizer.
        input_is_real: the input is quantized only after arithmetic.
    """

    after: dict[str, Grid]
    edges: dict[tuple[str, int], Grid]
    relus: dict[str, str]
    input_is_real: bool


def plan_grids(graph: FloatGraph, *, signed_input: bool) -> Grids:
    """Quantizers of a graph.

    Args:
        signed_input: whether codes of the input have both signs.
    """
    return _Plan(graph, signed_input).made()


@dataclass
class _Plan:
    graph: FloatGraph
    signed_input: bool
    needed: set[str] = field(default_factory=set)
    edges: list[tuple[str, int, str]] = field(default_factory=list)
    _parent: dict[_Key, _Key] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = {one.name: one for one in self.graph.operations}
        self.readers = self.graph.readers()
        self.real = self._is_real()
        self.signed: dict[str, bool] = {}
        for one in self.graph.operations:
            self.signed[one.name] = self._is_signed(one)

    def made(self) -> Grids:
        for one in self.graph.operations:
            if one.kind in _READ_CODES:
                for name in one.inputs:
                    self._need(one, self._root(name))
        for one in self.graph.operations:
            if one.kind in _JOINS:
                self._join(one)
        return self._named()

    def _is_real(self) -> bool:
        """Whether all readers of the input compute with constants, up to where codes are needed."""
        readers = self._beyond(INPUT)
        while readers:
            if not all(one.kind in _BEFORE_CODES for one in readers):
                return False
            further = [each for one in readers for each in self._beyond(one.name)]
            readers = [one for one in further if one.kind in (*_BEFORE_CODES, Kind.CURVE)]
        return True

    def _beyond(self, name: str) -> list[Operation]:
        """The operations that read a result, through views."""
        found = []
        for one in self.readers[name]:
            found += self._beyond(one.name) if one.kind is Kind.VIEW else [one]
        return found

    def _root(self, name: str) -> Operation:
        """The operation whose codes a result is."""
        one = self.known[name]
        return self._root(one.inputs[0]) if one.kind in _PASS else one

    def _is_signed(self, one: Operation) -> bool:
        if one.kind is Kind.INPUT:
            return self.signed_input or self.real
        if one.kind in (Kind.RELU, Kind.LAST):
            return False
        if one.kind in (*_PASS, *_JOINS, Kind.AVERAGE):
            return any(self.signed[name] for name in one.inputs)
        return True

    def _need(self, reader: Operation, root: Operation) -> None:
        """A quantizer for the root's result, unless it is codes."""
        if root.kind in (Kind.RELU, Kind.CONCAT, Kind.INPUT):
            return
        if reader.kind is Kind.LAYER and root.kind is Kind.AVERAGE and is_global(root.module):
            return  # one sum for each channel: its division goes into the layer's scale
        self.needed.add(root.name)

    def _join(self, one: Operation) -> None:
        grid, roots = ("join", one.name), [self._root(name) for name in one.inputs]
        signed = self.signed[one.name]
        if not signed and self._are_alike(roots):
            for root in roots:
                self._tie(grid, ("relu" if root.kind is Kind.RELU else "join", root.name))
            return
        for place, root in enumerate(roots):
            if self.signed[root.name] == signed and root.name in self.needed:
                self._tie(grid, ("after", root.name))
            elif self.signed[root.name] == signed and root.kind is Kind.CONCAT:
                self._tie(grid, ("join", root.name))
            else:
                self.edges.append((one.name, place, one.name))
        if one.kind is Kind.ADD and signed and one.name in self.needed:
            self._tie(grid, ("after", one.name))

    def _are_alike(self, roots: list[Operation]) -> bool:
        """Whether all are ReLUs of one kind, or concatenations of such."""
        relus: list[Operation] = []
        todo = list(roots)
        while todo:
            one = todo.pop()
            if one.kind is Kind.CONCAT:
                todo += [self._root(name) for name in one.inputs]
            else:
                relus.append(one)
        kinds = {(one.kind, repr(one.module)) for one in relus}
        return len(kinds) == 1 and relus[0].kind is Kind.RELU

    def _named(self) -> Grids:
        grids: dict[_Key, Grid] = {}
        taken = self.graph.names | {INPUT_QUANT}

        def grid(key: _Key, signed: bool) -> Grid:
            top = self._top(key)
            if top not in grids:
                members = [self.known[name] for kind, name in self._class(top) if kind != "relu"]
                joins = [one for one in members if one.kind in _JOINS] or members
                first = min(joins, key=self.graph.operations.index)
                grids[top] = Grid(unique(f"{first.name}_quant", taken), signed)
            return grids[top]

        after = {name: grid(("after", name), self.signed[name]) for name in sorted(self.needed)}
        edges = {
            (reader, place): grid(("join", join), self.signed[join])
            for reader, place, join in self.edges
        }
        relus: dict[str, str] = {}
        firsts: dict[_Key, str] = {}
        for one in self.graph.operations:
            if one.kind is Kind.RELU:
                relus[one.name] = firsts.setdefault(self._top(("relu", one.name)), one.name)
        return Grids(after, edges, relus, self.real)

    def _top(self, key: _Key) -> _Key:
        while (above := self._parent.setdefault(key, key)) != key:
            key = above
        return key

    def _tie(self, one: _Key, other: _Key) -> None:
        self._parent[self._top(one)] = self._top(other)

    def _class(self, top: _Key) -> list[_Key]:
        return [key for key in self._parent if self._top(key) == top]

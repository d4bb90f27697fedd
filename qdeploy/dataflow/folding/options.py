"""Every legal folding of every layer, as groups of the folding solver.

A layer that computes and what only moves its pixels (padding, window) are one group: they share the
number of channels per beat. What is listed is legal by construction:

    matrix unit      PE divides MH, SIMD divides MW; its window gives SIMD channels of one kernel
                     position per beat, or the whole window per beat where SIMD exceeds a pixel;
                     multipliers in LUTs or DSP blocks; weights in LUTs or block RAM, or both; with
                     PE = MH and SIMD = MW weights become the logic of their sums
    pool, depthwise  PE divides the channels and is the window's SIMD
    anything else    PE divides the channels
    window           rows for a next frame without a gap, or one row ahead; in LUT RAM or block RAM
    codes            of 3 and 4 bits: compared with all thresholds, or searched
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import lcm, prod
from typing import TYPE_CHECKING, Any

from qdeploy.dataflow.cost.blocks import BlockCosts
from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.fifos.depths import SMALL, BranchSkew, BranchSkews
from qdeploy.dataflow.finn.geometry import Window
from qdeploy.dataflow.finn.nodes import HwNode, Kind, divisors, layer_groups
from qdeploy.dataflow.finn.timing import windowed_cycles
from qdeploy.dataflow.folding.solver import Edge, LayerGroup, Option
from qdeploy.errors import FoldingError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

Attributes = dict[str, dict[str, int | str]]


@dataclass(frozen=True)
class SearchSpace:
    """Everything a folding of a model can choose from: groups with their options, and edges."""

    groups: list[LayerGroup]
    edges: list[Edge]


@dataclass(frozen=True)
class _Part:
    """What one node of an option takes.

    Args:
        ins, outs: bits per beat of its streams.
        window: where it outputs a whole window per beat.
        keeps_next: whether it takes the next vector while it works on one.
    """

    usage: ResourceUsage
    cycles: int
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    window: Window | None
    keeps_next: bool


def _together(parts: list[_Part]) -> int:
    """Cycles per frame of consecutive nodes."""
    cycles = [part.cycles for part in parts]
    for part in parts:
        if part.window is not None:
            last = parts[-1]
            cycles.append(windowed_cycles(part.window, last.cycles, ahead=last.keeps_next))
    return max(cycles)


def search_space(model: ModelWrapper, costs: BlockCosts) -> SearchSpace:
    """All foldings of a specialized, unfolded model, whose attributes are undefined afterwards."""
    return _Lister(model, costs).search_space()


def within_beat(
    space: SearchSpace, model: ModelWrapper, widest: int, file: str = ""
) -> SearchSpace:
    """The foldings whose beats a host can send and take.

    Args:
        widest: bytes of a beat of the model's input and output at most.
        file: that restricted the foldings, for the message.

    Raises:
        FoldingError: a layer has none: one element alone is wider, or what the file asks for.
    """
    ends = {model.graph.input[0].name, model.graph.output[0].name}
    groups = []
    for group in space.groups:
        options = [
            option
            for option in group.options
            if all(-(-option.widths.get(name, 0) // 8) <= widest for name in ends)
        ]
        if not options:
            raise FoldingError(
                f"layer `{group.name}` has no folding whose beats have at most {widest} bytes",
                why="its host sends and takes no wider ones",
                do=f"ask for less SIMD of the first layer and less PE of the last in {file}"
                if file
                else "use fewer bits of the input and the output",
            )
        groups.append(LayerGroup(group.name, options))
    return SearchSpace(groups, space.edges)


class _Lister:
    def __init__(self, model: ModelWrapper, costs: BlockCosts) -> None:
        self.model, self.costs = model, costs
        self.members = layer_groups(model)
        self.inputs: dict[str, dict[int, str]] = {}
        for members in self.members:
            for node in members:
                node.instance.keep_attributes()
                self.inputs[node.name] = node.inputs
        self.parts: dict[tuple[Any, ...], _Part] = {}

    def search_space(self) -> SearchSpace:
        groups = [
            LayerGroup(members[-1].name, list(self._options(members))) for members in self.members
        ]
        return SearchSpace(groups, list(self._edges(groups)))

    # ---- options ----

    def _options(self, members: list[HwNode]) -> Iterator[Option]:
        for attributes in self._attributes(members):
            parts = [self._part(node, attributes[node.name]) for node in members]
            widths = dict(
                zip(self._streams(members), (*parts[0].ins, *parts[-1].outs), strict=True)
            )
            usage = sum((part.usage for part in parts), ResourceUsage())
            for left, right in pairwise(parts):
                usage += self._converter(left.outs[0], right.ins[0])
            yield Option(attributes, _together(parts), usage, widths)

    def _part(self, node: HwNode, values: dict[str, int | str]) -> _Part:
        """A node's own figures with these attributes: the same in many options."""
        key = (node.name, *values.items())
        if key not in self.parts:
            inst = node.instance
            for name, value in values.items():
                inst.set_nodeattr(name, value)
            usage = ResourceUsage()
            for instance in inst.unit(self.model).instances:
                usage += self.costs.of(instance.block.module, instance.block.measures)
            window = node.window
            self.parts[key] = _Part(
                usage,
                node.cycles,
                tuple(int(inst.get_instream_width(index)) for index in self.inputs[node.name]),
                tuple(int(inst.get_outstream_width(index)) for index in node.outputs),
                window if window is not None and window.whole else None,
                node.keeps_next_vector,
            )
        return self.parts[key]

    def _streams(self, members: list[HwNode]) -> list[str]:
        """What comes in from other groups and goes out to them."""
        return [*self.inputs[members[0].name].values(), *members[-1].outputs.values()]

    def _attributes(self, members: list[HwNode]) -> Iterator[Attributes]:
        node, movers = members[-1], [mover.name for mover in members[:-1]]
        if node.kind is Kind.MATRIX:
            yield from self._matrix(members)
            return
        window = self._window(members)
        lanes = node.operator.lanes
        for size in node.instance.lane_choices() or divisors(node.channels):
            for styles in self._styles(node, **{lanes: size}):
                found: Attributes = {node.name: {lanes: size, **styles}}
                found |= {mover: {"SIMD": size} for mover in movers}
                yield from self._windows(found, window)

    def _window(self, members: list[HwNode]) -> HwNode | None:
        return next((node for node in members if node.kind is Kind.WINDOW), None)

    def _windows(self, found: Attributes, window: HwNode | None) -> Iterator[Attributes]:
        """With each way to build the window."""
        if window is None:
            yield found
            return
        chosen = found[window.name]
        for style in self._styles(window, **chosen):
            yield {**found, window.name: {**chosen, **style}}

    def _styles(self, node: HwNode, **lanes: int | str) -> list[dict[str, int | str]]:
        """What else can be chosen at this number of lanes."""
        for key, value in lanes.items():
            node.instance.set_nodeattr(key, value)
        found: list[dict[str, int | str]] = node.instance.styles()
        return found

    def _matrix(self, members: list[HwNode]) -> Iterator[Attributes]:
        node = members[-1]
        rows, columns = node.matrix
        movers = [mover.name for mover in members[:-1]]
        window = self._window(members)
        channels = self._pixel(members[0]) if movers else columns
        for simd in divisors(columns):
            if simd <= channels and channels % simd:
                continue
            whole = simd > channels
            for pe in divisors(rows):
                for styles in self._styles(node, PE=pe, SIMD=simd):
                    found: Attributes = {node.name: {"PE": pe, "SIMD": simd, **styles}}
                    found |= {mover: {"SIMD": min(simd, channels)} for mover in movers}
                    if window is not None:
                        found[window.name]["parallel_window"] = int(whole)
                    yield from self._windows(found, window)

    def _pixel(self, node: HwNode) -> int:
        return int(node.instance.get_normal_input_shape()[-1])

    # ---- between groups ----

    def _edges(self, groups: list[LayerGroup]) -> Iterator[Edge]:
        skews = BranchSkews(self.model)
        options = {group.name: group.options for group in groups}
        source = {
            name: members[-1] for members in self.members for name in members[-1].outputs.values()
        }
        for members in self.members:
            for name in self.inputs[members[0].name].values():
                if name not in source:
                    continue
                left, right = source[name].name, members[-1].name
                ends = [{o.widths[name] for o in options[end]} for end in (left, right)]
                wait = skews.wait(members[0].name, name)
                table = {
                    (a, b): self._between(source[name], name, a, b, wait)
                    for a in ends[0]
                    for b in ends[1]
                }
                yield Edge(left, right, name, table)

    def _between(
        self, node: HwNode, stream: str, a: int, b: int, wait: BranchSkew | None
    ) -> ResourceUsage:
        """A converter and a FIFO as deep as simulation usually finds it."""
        total = self._converter(a, b)
        if wait is None and node.operator.bursts:
            total += self.costs.of("qd_fifo", {"WIDTH": max(a, b), "DEPTH": SMALL})
        if wait is not None:
            bits = int(self.model.get_tensor_datatype(stream).bitwidth())
            elements = prod(int(size) for size in self.model.get_tensor_shape(stream))
            depth = wait.typical_depth(elements * bits // b)
            total += self.costs.of("qd_fifo", {"WIDTH": b, "DEPTH": depth})
        return total

    def _converter(self, a: int, b: int) -> ResourceUsage:
        """Usage of a width converter, as `backends.streams` builds it."""
        if a == b:
            return ResourceUsage()
        middle = lcm(a, b)
        steps = [(a, b)] if middle in (a, b) else [(a, middle), (middle, b)]
        total = ResourceUsage()
        for left, right in steps:
            total += self.costs.of("qd_dwc", {"IN_WIDTH": left, "OUT_WIDTH": right})
        return total

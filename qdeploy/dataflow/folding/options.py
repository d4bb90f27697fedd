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
from qdeploy.dataflow.fifos.depths import SMALL, BranchSkew, BranchSkews, has_output_fifo
from qdeploy.dataflow.finn.nodes import MOVERS, divisors, layer_groups
from qdeploy.dataflow.finn.timing import keeps_next, parallel_cycles
from qdeploy.dataflow.folding.solver import Edge, LayerGroup, Option

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

_CHANNELS = (
    ("Pool", "Channels"),
    ("LabelSelect", "Labels"),
    ("Thresholding", "NumChannels"),
    ("DuplicateStreams", "NumChannels"),
    ("GlobalAccPool", "NumChannels"),
    ("VVAU", "Channels"),
)
Attributes = dict[str, dict[str, int | str]]


@dataclass(frozen=True)
class SearchSpace:
    """Everything a folding of a model can choose from: groups with their options, and edges."""

    groups: list[LayerGroup]
    edges: list[Edge]


@dataclass(frozen=True)
class _Window:
    """Shape, spans, strides and number of windows of a parallel sliding window."""

    shape: tuple[int, int]
    spans: tuple[int, int]
    strides: tuple[int, int]
    count: int


@dataclass(frozen=True)
class _Part:
    """What one node of an option takes.

    Args:
        ins, outs: bits per beat of its streams.
        window: where it outputs a whole window per beat.
        keeps_next: see `keeps_next`.
    """

    usage: ResourceUsage
    cycles: int
    ins: tuple[int, ...]
    outs: tuple[int, ...]
    window: _Window | None
    keeps_next: bool


def _window_of(inst: Any) -> _Window | None:
    if not inst.use_parallel_window_output():
        return None
    kernel, strides, dilation = (
        _pair(inst.get_nodeattr(key)) for key in ("ConvKernelDim", "Stride", "Dilation")
    )
    spans = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    count = prod(_pair(inst.get_nodeattr("OFMDim")))
    return _Window(_pair(inst.get_nodeattr("IFMDim")), spans, strides, count)


def _together(parts: list[_Part]) -> int:
    """Cycles per frame of consecutive nodes."""
    cycles = [part.cycles for part in parts]
    for part in parts:
        if part.window is not None:
            one, interval = part.window, parts[-1].cycles // part.window.count
            ahead = parts[-1].keeps_next
            cycles.append(parallel_cycles(one.shape, one.spans, one.strides, interval, ahead=ahead))
    return max(cycles)


def search_space(model: ModelWrapper, costs: BlockCosts) -> SearchSpace:
    """All foldings of a specialized, unfolded model, whose attributes are undefined afterwards."""
    return _Lister(model, costs).search_space()


class _Lister:
    def __init__(self, model: ModelWrapper, costs: BlockCosts) -> None:
        from qonnx.custom_op.registry import getCustomOp

        self.model, self.costs = model, costs
        self.constants = {item.name for item in model.graph.initializer}
        self.instances: dict[str, Any] = {n.name: getCustomOp(n) for n in model.graph.node}
        for inst in self.instances.values():
            inst.keep_attributes()
        self.parts: dict[tuple[Any, ...], _Part] = {}
        self.members = layer_groups(model)

    def search_space(self) -> SearchSpace:
        groups = [
            LayerGroup(members[-1].name, list(self._options(members))) for members in self.members
        ]
        return SearchSpace(groups, list(self._edges(groups)))

    # ---- options ----

    def _options(self, members: list[NodeProto]) -> Iterator[Option]:
        for attributes in self._attributes(members):
            parts = [self._part(node, attributes[node.name]) for node in members]
            widths = dict(
                zip(self._streams(members), (*parts[0].ins, *parts[-1].outs), strict=True)
            )
            usage = sum((part.usage for part in parts), ResourceUsage())
            for left, right in pairwise(parts):
                usage += self._converter(left.outs[0], right.ins[0])
            yield Option(attributes, _together(parts), usage, widths)

    def _part(self, node: NodeProto, values: dict[str, int | str]) -> _Part:
        """A node's own figures with these attributes: the same in many options."""
        key = (node.name, *values.items())
        if key not in self.parts:
            inst = self.instances[node.name]
            for name, value in values.items():
                inst.set_nodeattr(name, value)
            usage = ResourceUsage()
            for instance in inst.unit(self.model).instances:
                usage += self.costs.of(instance.block.module, instance.block.measures)
            inputs = [i for i, name in enumerate(node.input) if name not in self.constants]
            self.parts[key] = _Part(
                usage,
                int(inst.get_exp_cycles()),
                tuple(int(inst.get_instream_width(index)) for index in inputs),
                tuple(int(inst.get_outstream_width(index)) for index in range(len(node.output))),
                _window_of(inst) if node.op_type.startswith(MOVERS[1]) else None,
                node.op_type.startswith("MVAU") and keeps_next(inst),
            )
        return self.parts[key]

    def _streams(self, members: list[NodeProto]) -> list[str]:
        """What comes in from other groups and goes out to them."""
        names = [name for name in members[0].input if name not in self.constants]
        return [*names, *members[-1].output]

    def _attributes(self, members: list[NodeProto]) -> Iterator[Attributes]:
        node, movers = members[-1], [mover.name for mover in members[:-1]]
        if node.op_type.startswith("MVAU"):
            yield from self._matrix(members)
            return
        window = self._window(members)
        for size in divisors(self._channels(node)):
            for styles in self._styles(node, PE=size):
                found: Attributes = {node.name: {"PE": size, **styles}}
                found |= {mover: {"SIMD": size} for mover in movers}
                yield from self._windows(found, window)

    def _window(self, members: list[NodeProto]) -> str | None:
        return next((m.name for m in members if m.op_type.startswith(MOVERS[1])), None)

    def _windows(self, found: Attributes, window: str | None) -> Iterator[Attributes]:
        """With each way to build the window."""
        if window is None:
            yield found
            return
        inst = self.instances[window]
        for key, value in found[window].items():
            inst.set_nodeattr(key, value)
        for style in inst.styles():
            yield {**found, window: {**found[window], **style}}

    def _styles(self, node: NodeProto, **lanes: int) -> list[dict[str, int | str]]:
        """What else can be chosen at this number of lanes."""
        inst = self.instances[node.name]
        for key, value in lanes.items():
            inst.set_nodeattr(key, value)
        found: list[dict[str, int | str]] = inst.styles()
        return found

    def _channels(self, node: NodeProto) -> int:
        inst = self.instances[node.name]
        for prefix, key in _CHANNELS:
            if node.op_type.startswith(prefix):
                return int(inst.get_nodeattr(key))
        return int(inst.get_nodeattr("out_shape")[-1])

    def _matrix(self, members: list[NodeProto]) -> Iterator[Attributes]:
        node = members[-1]
        inst = self.instances[node.name]
        rows, columns = int(inst.get_nodeattr("MH")), int(inst.get_nodeattr("MW"))
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
                        found[window]["parallel_window"] = int(whole)
                    yield from self._windows(found, window)

    def _pixel(self, node: NodeProto) -> int:
        return int(self.instances[node.name].get_normal_input_shape()[-1])

    # ---- between groups ----

    def _edges(self, groups: list[LayerGroup]) -> Iterator[Edge]:
        skews = BranchSkews(self.model)
        options = {group.name: group.options for group in groups}
        source = {name: members[-1] for members in self.members for name in members[-1].output}
        for members in self.members:
            for name in members[0].input:
                if name not in source:
                    continue
                left, right = source[name].name, members[-1].name
                ends = [{o.widths[name] for o in options[end]} for end in (left, right)]
                wait = skews.wait(members[0], name)
                table = {
                    (a, b): self._between(source[name], name, a, b, wait)
                    for a in ends[0]
                    for b in ends[1]
                }
                yield Edge(left, right, name, table)

    def _between(
        self, node: NodeProto, stream: str, a: int, b: int, wait: BranchSkew | None
    ) -> ResourceUsage:
        """A converter and a FIFO as deep as simulation usually finds it."""
        total = self._converter(a, b)
        if wait is None and has_output_fifo(node):
            total += self.costs.of("qd_fifo", {"WIDTH": max(a, b), "DEPTH": SMALL})
        if wait is not None:
            bits = int(self.model.get_tensor_datatype(stream).bitwidth())
            elements = prod(int(size) for size in self.model.get_tensor_shape(stream))
            depth = wait.typical_depth(elements * bits // b)
            total += self.costs.of("qd_fifo", {"WIDTH": b, "DEPTH": depth})
        return total

    def _converter(self, a: int, b: int) -> ResourceUsage:
        """As `backends.streams` builds it."""
        if a == b:
            return ResourceUsage()
        middle = lcm(a, b)
        steps = [(a, b)] if middle in (a, b) else [(a, middle), (middle, b)]
        total = ResourceUsage()
        for left, right in steps:
            total += self.costs.of("qd_dwc", {"IN_WIDTH": left, "OUT_WIDTH": right})
        return total


def _pair(values: Any) -> tuple[int, int]:
    """A node attribute of two elements, vertical and horizontal."""
    first, second = (int(value) for value in values)
    return first, second

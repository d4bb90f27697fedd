"""An integer graph under construction: nodes, tensors, intervals, and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from onnx import NodeProto

from qdeploy.errors import PassError
from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import Bias, Conv, Dense, IntegerGraph, IntType, Node, Tensor
from qdeploy.ir.intervals import Intervals
from qdeploy.ir.rules import check_graph
from qdeploy.lowering.canonical.module_names import module_path, unique
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import AffineTensor, expand
from qdeploy.lowering.integers.quantizer import Quantizer, Rounding, TableQuantizer
from qdeploy.lowering.integers.steps import RELU, Step

ACCUMULATOR_BITS = 32
NARROWER = "quantize the sum, or use fewer bits before it"


@dataclass(frozen=True)
class ThresholdSource:
    """What a Threshold was made from: value = gain[c]·n + offset[c], then steps, then a quantizer.

    Args:
        quantizers: one, or one for each channel.
        quantized: the quantizer's output in the QONNX file.
        steps: between the affine map and the quantizer.
        mirrored: channels whose codes have the sign changed.
        narrowed: the integers are others since, with the same codes; see `wide_sums.py`.
    """

    gain: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]
    quantizers: tuple[Quantizer, ...]
    quantized: str = ""
    steps: tuple[Step, ...] = ()
    mirrored: frozenset[int] = frozenset()
    narrowed: bool = False

    @property
    def quantizer(self) -> Quantizer:
        """The first channel's quantizer."""
        return self.quantizers[0]

    @property
    def is_plain(self) -> bool:
        """Whether it is an affine map, perhaps a ReLU, and one quantizer that rounds to nearest, or
        counts the thresholds that are reached."""
        return (
            len(self.quantizers) == 1
            and (type(self.quantizer) is Quantizer or _counts(self.quantizer))
            and self.steps in ((), (RELU,))
            and not self.mirrored
            and not self.narrowed
            and not self.quantizer.zero
            and self.quantizer.rounding is Rounding.HALF_EVEN
        )


def _counts(quantizer: Quantizer) -> bool:
    if not isinstance(quantizer, TableQuantizer):
        return False
    return all(edge.value is not None and edge.included for edge in quantizer.table)


@dataclass(frozen=True)
class WideSum:
    """A sum p·a + q·b of two branches whose multiples take many bits; see `wide_sums.py`.

    Args:
        node: of the file.
        parts: the branches; until the end an Add reads them as they are.
        multiples: p and q of each channel.
        exact: whether an accumulator holds the sum.
        shown: both scales, for messages.
    """

    node: NodeProto
    parts: tuple[str, str]
    multiples: tuple[tuple[int, ...], tuple[int, ...]]
    exact: bool
    shown: str


@dataclass(frozen=True)
class Lowered:
    """An integer graph with its ties to the QONNX file.

    Args:
        graph: the integers.
        affine: for each Threshold's output, the exact map and quantizer its table was made from;
            none where several quantizers became one table.
        intervals: for each accumulator, the exact interval per channel.
        sources: for each boundary and the input, the tensor of the QONNX file with the same values;
            codes that only stand between a quantizer and the max-pool before it have none.
        maps: for each of these, what its integers mean; the logits have their `Head` instead.
        notes: what a user should know of the integers, in sentences.
    """

    graph: IntegerGraph
    affine: Mapping[str, ThresholdSource]
    intervals: Mapping[str, Intervals]
    sources: Mapping[str, str]
    notes: tuple[str, ...]
    maps: Mapping[str, Head] = field(default_factory=dict)


@dataclass
class Builder:
    """Collects nodes in execution order."""

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    intervals: dict[str, Intervals] = field(default_factory=dict)
    affine: dict[str, ThresholdSource] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    signs: dict[str, frozenset[int]] = field(default_factory=dict)
    codes: set[str] = field(default_factory=set)
    sums: set[str] = field(default_factory=set)
    wide: dict[str, WideSum] = field(default_factory=dict)

    def add_tensor(self, tensor: Tensor, source: str | None) -> str:
        """Add a tensor under a unique name; returns the name.

        Args:
            source: the tensor of the file with the same values, None where there is none.
        """
        name = unique(tensor.name, self.tensors)
        self.tensors[name] = replace(tensor, name=name)
        if source is not None:
            self.sources[name] = source
        return name

    def accumulator(
        self,
        node: NodeProto,
        shape: tuple[int, ...],
        interval: Intervals,
        kind: str,
        scale: Fraction | None = None,
        *,
        found: str = "its accumulator needs {} bits",
        expected: str | None = None,
        do: str = "use fewer bits or fewer inputs",
        most: int = ACCUMULATOR_BITS,
    ) -> str:
        """Add the tensor of sums that `node` of the QONNX file makes; returns its name.

        Args:
            kind: end of the name.
            found, expected, do: of the refusal, as `refuse` takes them.
            most: bits.

        Raises:
            UnsupportedLayerError: the sums need more than `most` bits.
        """
        lo, hi = interval.bounds
        dtype = IntType.holding(lo, hi)
        if dtype.bits > most:
            raise refuse(
                node,
                found.format(dtype.bits),
                expected=expected,
                why=f"accumulators have at most {ACCUMULATOR_BITS} bits",
                do=do,
            )
        tensor = Tensor(f"{module_path(node)}.{kind}", shape, dtype, lo, hi, scale)
        name = self.add_tensor(tensor, node.output[0])
        self.intervals[name] = interval
        return name

    def channel_intervals(self, name: str) -> Intervals:
        """Interval per channel of any tensor."""
        if name in self.intervals:
            return self.intervals[name]
        tensor = self.tensors[name]
        return Intervals((tensor.lo,) * tensor.shape[0], (tensor.hi,) * tensor.shape[0])

    def producer(self, name: str) -> Node | None:
        """The node that makes a tensor."""
        return next((node for node in self.nodes if node.output == name), None)

    def is_accumulator(self, name: str) -> bool:
        """Whether a tensor is a weighted sum that no quantizer has narrowed yet.

        Sums of codes (Add, GlobalSum, `codes`) are on the codes' grid and count as codes; Adds of
        weighted sums (`sums`) do not.
        """
        if name in self.sums:
            return True
        return name not in self.codes and isinstance(self.producer(name), Conv | Dense | Bias)

    def oriented(self, value: AffineTensor) -> AffineTensor:
        """The map of a value from its tensor as it is now, sign changes of channels included."""
        now = self.signs.get(value.tensor, frozenset())
        negated = now ^ value.turned
        if not negated:
            return value
        gain = expand(value.gain, self.tensors[value.tensor].shape[0])
        gain = tuple(-g if c in negated else g for c, g in enumerate(gain))
        return replace(value, gain=gain, turned=now)

    def can_negate(self, name: str) -> bool:
        """Whether `negate_channels` takes a tensor."""
        made = isinstance(self.producer(name), Conv | Dense) or name in self.wide
        return made and not self.is_read(name)

    def negate_channels(self, name: str, channels: frozenset[int]) -> None:
        """Change the sign of some output channels of the Conv or Dense that makes `name`.

        Values that were followed on this tensor keep their maps; `oriented` corrects them.
        """
        node, wide = self.producer(name), self.wide.get(name)
        if (not isinstance(node, Conv | Dense) and wide is None) or not self.can_negate(name):
            raise PassError("only the sums of a convolution or a fully connected layer change sign")
        self.signs[name] = self.signs.get(name, frozenset()) ^ channels
        if wide is not None:
            first, second = (
                tuple(-one if c in channels else one for c, one in enumerate(side))
                for side in wide.multiples
            )
            self.wide[name] = replace(wide, multiples=(first, second))
        elif isinstance(node, Conv | Dense):
            sign = np.ones(len(node.weights), dtype=np.int64)
            sign[list(channels)] = -1
            weights = node.weights * sign.reshape(-1, *([1] * (node.weights.ndim - 1)))
            self.nodes[self.nodes.index(node)] = replace(node, weights=weights)
        interval = self.intervals[name].negated(channels)
        lo, hi = interval.bounds
        self.intervals[name] = interval
        self.tensors[name] = replace(
            self.tensors[name], lo=lo, hi=hi, dtype=IntType.holding(lo, hi)
        )

    def scale_weights(self, name: str, factor: int) -> None:
        """Multiply the weights of the Conv or Dense that makes `name`, which nothing reads yet.

        Args:
            factor: positive; maps behind `name` become `factor` times as fine.
        """
        node = self.producer(name)
        if not isinstance(node, Conv | Dense) or not self.can_negate(name):
            raise PassError("only the sums of a convolution or a fully connected layer are scaled")
        self.nodes[self.nodes.index(node)] = replace(node, weights=node.weights * factor)
        interval = self.intervals[name].times(factor)
        lo, hi = interval.bounds
        self.intervals[name] = interval
        self.tensors[name] = replace(
            self.tensors[name], lo=lo, hi=hi, dtype=IntType.holding(lo, hi), scale=None
        )

    def is_read(self, name: str) -> bool:
        """Whether a node reads a tensor already."""
        return any(name in node.inputs for node in self.nodes)

    def node_name(self, layer: str, kind: str) -> str:
        """A unique name for a node."""
        return unique(f"{layer}.{kind}", {node.name for node in self.nodes})

    def rename(self, old: str, new: str) -> str:
        """Give a tensor another name everywhere; returns that name."""
        if old == new:
            return new
        tables: tuple[dict[str, Any], ...] = (
            self.tensors,
            self.sources,
            self.intervals,
            self.affine,
            self.signs,
        )
        for table in tables:
            if old in table:
                table[new] = table.pop(old)
        self.tensors[new] = replace(self.tensors[new], name=new)
        self.nodes = [
            replace(
                node,
                inputs=tuple(new if name == old else name for name in node.inputs),
                output=new if node.output == old else node.output,
            )
            for node in self.nodes
        ]
        return new

    def finish(
        self, name: str, output: str, head: Head, values: Mapping[str, object] | None = None
    ) -> Lowered:
        """The finished graph.

        Args:
            values: what every tensor of the file became.

        Raises:
            PassError: a node's result is never read, or the graph breaks its own rules.
        """
        read = {item for node in self.nodes for item in node.inputs} | {output}
        unread = [node.name for node in self.nodes if node.output not in read]
        if unread:
            raise PassError(f"nothing reads the results of {', '.join(unread)}")
        graph = IntegerGraph(name, "input", output, tuple(self.nodes), self.tensors, head)
        check_graph(graph)
        wanted = {graph.input, *graph.boundaries()}
        sources = {key: value for key, value in self.sources.items() if key in wanted}
        maps = {}
        for key, source in sources.items():
            value = (values or {}).get(source)
            if isinstance(value, AffineTensor) and value.tensor == key and not value.steps:
                value = self.oriented(value)
                maps[key] = Head(value.gain, value.offset)
        return Lowered(graph, self.affine, self.intervals, sources, tuple(self.notes), maps)

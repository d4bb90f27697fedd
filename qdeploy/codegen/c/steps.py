"""The steps of a network on a microcontroller: one pass over a tensor each.

A sum (Conv, Dense, Add, GlobalSum, Bias) goes on in registers through the Bias and Threshold nodes
that alone read it, so what a step writes is a boundary of the integer graph, or the copy that a
Flatten needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qdeploy.codegen.c.choices import Choices
from qdeploy.codegen.c.elements import Element, Stored, sizes_of
from qdeploy.codegen.c.finishing import Finish, quantized
from qdeploy.codegen.c.packing import PackedWeights, pack_weights
from qdeploy.codegen.c.staging import Staging, stagings, vector_weights
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Conv,
    Dense,
    Flatten,
    GlobalSum,
    IntArray,
    IntegerGraph,
    MaxPool,
    Node,
    Tensor,
    Threshold,
)
from qdeploy.ir.intervals import magnitude, node_intervals

# A sum of no larger magnitude has all its thresholds in 32 bits too.
MOST_SUM = (1 << 31) - 2
# Of a convolution that vectors pay for.
LEAST_FILTERS = 4


@dataclass(frozen=True)
class Fused:
    """An addition inside the staged convolution before it; the step's second source is added.

    Args:
        node: the addition.
        middle: what the convolution gives, of which a band is held.
        finish: of the addition.
        mapped: a step element by element that the second source goes through first; a band of what
            it gives is held too.
    """

    node: Add
    middle: Stored
    finish: Finish
    mapped: Step | None = None

    @property
    def held(self) -> list[Stored]:
        """Maps of which a band is held, in the order in which they are made."""
        return [self.middle, *([] if self.mapped is None else [self.mapped.result])]


@dataclass(frozen=True)
class Step:
    """One step.

    Args:
        node: what it computes; for a sum the first node of the chain.
        sources: tensors that it reads.
        result: the tensor that it writes.
        finish: of a sum; None where elements only move.
        weights: of a Conv or a Dense, columns in the order (row, column, channel); of a staged Conv
            in that of its units.
        staging: of a Conv; None where it goes from window to window.
        scratch: bytes that it needs besides, while it runs.
        in_place: whether it may write over its first source, where its elements are no wider; with
            `fused` over the second.
        fused: an addition that it goes on with.
        rows: weights of a Dense, (outputs, inputs as they lie in memory).
        vector: weights of a staged Conv for hosts with vectors.
        copied: products from which on a Dense gets a copy of the kernel for its width.
        straight: whether a Dense is straight code, which has its weights in it.
    """

    node: Node
    sources: tuple[Stored, ...]
    result: Stored
    finish: Finish | None = None
    weights: PackedWeights | None = None
    staging: Staging | None = None
    scratch: int = 0
    in_place: bool = False
    fused: Fused | None = None
    rows: IntArray | None = None
    vector: npt.NDArray[np.int8] | None = None
    copied: int = 0
    straight: bool = False

    @property
    def over(self) -> int:
        """The source that `in_place` is about."""
        return 0 if self.fused is None else 1

    @property
    def layer(self) -> str:
        """The recipe's name of the layer."""
        return self.node.layer


def steps_of(
    graph: IntegerGraph, choices: Choices, choose: Callable[[Sequence[Step], Choices], Step]
) -> list[Step]:
    """The steps of a network, in execution order, no map packed.

    Args:
        choose: one of several ways to compute a layer.

    Raises:
        UnsupportedLayerError: sums of more than 32 bits, weights of more than 16, or nothing to
            compute.
    """
    return _Fuser(graph, choices, choose).steps()


class _Fuser:
    def __init__(
        self,
        graph: IntegerGraph,
        choices: Choices,
        choose: Callable[[Sequence[Step], Choices], Step],
    ) -> None:
        self.graph, self.choices, self.choose = graph, choices, choose
        # Tensor -> where its elements are; a Flatten's may be those of its map.
        self.stored: dict[str, Stored] = {graph.input: self._stored(graph.tensors[graph.input])}

    def steps(self) -> list[Step]:
        """All steps."""
        found: list[Step] = []
        done: set[str] = set()
        for node in self.graph.nodes:
            if node.name in done:
                continue
            if isinstance(node, Flatten) and self._is_view(node):
                self.stored[node.output] = self._view(node)
                continue
            chain = self._chain(node)
            done.update(one.name for one in chain)
            step = self._step(node, chain)
            self.stored[chain[-1].output] = step.result
            found.append(step)
        if not found:
            raise UnsupportedLayerError(
                "the network computes nothing: its output is its input",
                where=f"`{self.graph.output}`",
            )
        return found

    def _stored(self, tensor: Tensor) -> Stored:
        output = tensor.name == self.graph.output
        element = Element.I32 if output else Element.holding(tensor.lo, tensor.hi)
        if element is None or max(abs(tensor.lo), abs(tensor.hi)) > MOST_SUM:
            raise _too_wide(tensor.name, tensor.lo, tensor.hi)
        return Stored(tensor.name, element, *sizes_of(tensor))

    def _is_view(self, node: Flatten) -> bool:
        """Whether the vector is read where the map is: in the map's order."""
        if node.output == self.graph.output:
            return False
        source = self.stored[node.inputs[0]]
        if source.pixels == 1 or source.channels == 1:
            return True
        return all(isinstance(user, Dense) for user in self.graph.consumers(node.output))

    def _view(self, node: Flatten) -> Stored:
        """The vector in the memory of its map; as a map where its order is that of one."""
        source = self.stored[node.inputs[0]]
        if source.pixels == 1 or source.channels == 1:
            return Stored(source.name, source.element, 1, 1, source.count)
        return source

    def _chain(self, node: Node) -> list[Node]:
        chain = [node]
        while isinstance(chain[-1], Conv | Dense | Bias | Add | GlobalSum):
            last = chain[-1]
            users = self.graph.consumers(last.output)
            if last.output == self.graph.output or len(users) != 1:
                break
            if not isinstance(users[0], Threshold | Bias):
                break
            chain.append(users[0])
        return chain

    def _step(self, node: Node, chain: list[Node]) -> Step:
        sources = tuple(self.stored[name] for name in node.inputs)
        result = self._stored(self.graph.tensors[chain[-1].output])
        if isinstance(node, Conv):
            ways = self._convolutions(node, sources, result, self._finish(chain))
            step = self.choose(ways, self.choices)
            filters = len(node.weights)
            if self.choices.vector and step.staging is not None and filters >= LEAST_FILTERS:
                return replace(step, vector=vector_weights(node))
            return step
        if isinstance(node, Dense):
            rows = self._dense_rows(node)
            step = Step(
                node,
                sources,
                result,
                self._finish(chain),
                rows=rows,
                copied=self.choices.copied,
            )
            ways = self._packed(step, rows)
            return self.choose(ways, self.choices)
        if isinstance(node, Add | Bias | Threshold):
            return Step(node, sources, result, self._finish(chain), in_place=True)
        if isinstance(node, GlobalSum):
            return Step(node, sources, result, self._finish(chain))
        if isinstance(node, MaxPool):
            # Each pixel is written no later than all that is still to be read lies.
            ascending = node.pads[:2] == (0, 0) and result.width <= sources[0].width
            return Step(node, sources, result, in_place=ascending)
        return Step(node, sources, result)

    def _convolutions(
        self, node: Conv, sources: tuple[Stored, ...], result: Stored, finish: Finish
    ) -> list[Step]:
        """Each way to compute a convolution, that of the most products per multiplication first;
        of each with weights as they are and, where they may, five to a byte."""
        tensor = self.graph.tensors[node.inputs[0]]
        step, found = Step(node, sources, result, finish), []
        bounds = node_intervals(node, tensor).bounds
        ways = stagings(node, sources[0], result, tensor.hi, bounds) if self.choices.staged else []
        for staging, rows in ways:
            if staging.unit.name in self.choices.units:
                found += self._packed(replace(step, staging=staging), rows)
        if not found:
            rows = node.weights.transpose(0, 2, 3, 1).reshape(len(node.weights), -1)
            found += self._packed(step, rows)
        return found

    def _dense_rows(self, node: Dense) -> IntArray:
        source, rows = self.stored[node.inputs[0]], node.weights
        if source.pixels == 1 or source.channels == 1:
            return rows
        # The vector is a map, in its order.
        shape = (len(rows), source.channels, source.pixels)
        return rows.reshape(shape).transpose(0, 2, 1).reshape(len(rows), -1)

    def _packed(self, step: Step, rows: IntArray) -> list[Step]:
        """A step with its weights packed: as they are, and five to a byte where that is smaller."""
        assert isinstance(step.node, Conv | Dense)
        tensor = self.graph.tensors[step.node.inputs[0]]
        packed = pack_weights(rows)
        if packed is None:
            raise UnsupportedLayerError(
                f"layer `{step.layer}` has weights from {rows.min()} to {rows.max()}",
                why="kernels in C take weights of at most 16 bits",
                do="train it with fewer bits",
            )
        if (most := max(magnitude(rows, tensor.lo, tensor.hi))) > MOST_SUM:
            raise _too_wide(step.layer, -most, most)
        found = [replace(step, weights=packed, scratch=_filter_bytes(step, packed))]
        trits = pack_weights(rows, trits=True) if self.choices.byte_price else None
        if trits is not None and trits.trits:
            staging = step.staging
            if staging is not None:
                staging = replace(staging, fields=trits.data.shape[1] * 5 // 4 + 1)
            scratch = _filter_bytes(step, trits)
            found.append(replace(step, weights=trits, staging=staging, scratch=scratch))
        return found

    def _finish(self, chain: list[Node]) -> Finish:
        """Of a chain that begins with a sum, or of a Threshold alone."""
        first = chain[0]
        lo, hi = self._interval(first)
        biases = [node.bias for node in chain if isinstance(node, Bias)]
        zero = np.zeros(len(lo), dtype=np.int64)
        bias: IntArray = sum(biases, zero)
        for node in chain:
            tensor = self.graph.tensors[node.output]
            if max(abs(tensor.lo), abs(tensor.hi)) > MOST_SUM:
                raise _too_wide(node.layer, tensor.lo, tensor.hi)
        last = chain[-1]
        if isinstance(last, Threshold):
            byte = self._stored(self.graph.tensors[last.output]).element.size == 1
            return quantized(last.thresholds, last.base, bias, lo, hi, byte=byte)
        return Finish(bias=bias) if biases else Finish()

    def _interval(self, node: Node) -> tuple[IntArray, IntArray]:
        """Per channel, what is finished: the sum of `node`, or what it reads."""
        if isinstance(node, Conv | Dense):
            found = node_intervals(node, self.graph.tensors[node.inputs[0]])
            return np.array(found.lo, dtype=np.int64), np.array(found.hi, dtype=np.int64)
        name = node.inputs[0] if isinstance(node, Bias | Threshold) else node.output
        tensor = self.graph.tensors[name]
        channels = tensor.shape[0]
        return np.full(channels, tensor.lo), np.full(channels, tensor.hi)


def _filter_bytes(step: Step, weights: PackedWeights) -> int:
    """Scratch of a convolution that is not staged: a filter."""
    if step.staging is not None or not isinstance(step.node, Conv):
        return 0
    return weights.columns * (2 if weights.bits > 8 else 1)


def _too_wide(where: str, lo: int, hi: int) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"`{where}` has integers from {lo} to {hi}",
        why="programs in C sum up in 32 bits",
        do="train it with fewer bits or fewer inputs to a sum",
    )

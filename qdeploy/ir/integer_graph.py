"""The integer graph: the one description of a network that every level below has to equal.

Everything between the first quantized tensor and the logits is integers. Tensors are per frame (no
batch axis), feature maps in (channels, height, width) order. The nodes:

    Conv, Dense     acc = Σ w·a                                    exact
    Bias            acc = acc + b                                  integer, per channel
    Add             acc = a + b                                    exact, two tensors of one shape
    GlobalSum       acc = Σ over the pixels of a channel           exact
    Threshold       code = base + #{k : acc >= T[channel, k]}      T ascending in k
    MaxPool         code = max over the window
    Concat          the channels of several tensors, one after the other
    Upsample        every pixel repeated: nearest-neighbour enlargement by integers
    Dilate          zeros between neighbouring pixels, before the window of a transposed convolution
    DepthToSpace    (B·B·C, H, W) -> (C, B·H, B·W)
    Flatten         (C, H, W) -> (C·H·W,), channel slowest
    ArgMax          index of the largest value, the lowest index on a tie

A tensor may have several consumers; each gets the same integers. A *boundary* is a tensor that
exists in hardware as a stream: every tensor except a Flatten's, which moves nothing, and except a
sum (Conv, Dense, Bias, Add, GlobalSum) with one consumer that is a Threshold or a Bias: that sum is
consumed where it is made. A sum with two consumers is forked, and a fork is a stream: so a sum that
two Thresholds quantize is a boundary, and so is an Add that a later Add or a layer reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from qdeploy.ir.head import Head
from qdeploy.ir.input_codes import InputPreparation
from qdeploy.ir.input_thresholds import plain

IntArray: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class IntType:
    """Width and sign of a code on a wire: two's complement when signed."""

    bits: int
    signed: bool

    @property
    def lo(self) -> int:
        """Smallest code the width holds."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest code the width holds."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @staticmethod
    def holding(lo: int, hi: int) -> IntType:
        """The narrowest type that holds every integer in [lo, hi]; at least one bit."""
        if lo >= 0:
            return IntType(max(1, hi.bit_length()), False)
        return IntType(max((-lo - 1).bit_length(), max(hi, 0).bit_length()) + 1, True)


@dataclass(frozen=True)
class Tensor:
    """A tensor of codes.

    Args:
        name: unique; for a boundary, what `verify.json` and the RTL taps call it.
        shape: without the batch axis: (C, H, W) or (F,).
        dtype: the type on the wire.
        lo, hi: exact interval of the codes that can occur, inside the type's range.
        scale: value = scale · code, None where no single scale exists (accumulators before a
            Threshold may have one scale per channel).
    """

    name: str
    shape: tuple[int, ...]
    dtype: IntType
    lo: int
    hi: int
    scale: Fraction | None = None

    @property
    def size(self) -> int:
        """Number of elements per frame."""
        return prod(self.shape)


@dataclass(frozen=True)
class Node:
    """One operation; `name` is unique, `layer` is the recipe's name of the layer it came from."""

    name: str
    layer: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Conv(Node):
    """2-D convolution. `weights`: (out, in / groups, kh, kw). `pads`: (top, left, bottom, right)
    of code 0. `stride`, `dilation`: (vertical, horizontal). `groups` is 1, or the number of input
    and of output channels: a depthwise convolution."""

    weights: IntArray = field(repr=False)
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Dense(Node):
    """Fully connected. `weights`: (out, in)."""

    weights: IntArray = field(repr=False)


@dataclass(frozen=True)
class Bias(Node):
    """Integer added per channel. `bias`: (channels,)."""

    bias: IntArray = field(repr=False)


@dataclass(frozen=True)
class Threshold(Node):
    """code = base + #{k : acc >= thresholds[channel, k]}.

    `thresholds`: (channels, levels), ascending; an unreachable one is max(acc) + 1, one that always
    holds is min(acc).
    """

    thresholds: IntArray = field(repr=False)
    base: int = 0


@dataclass(frozen=True)
class Add(Node):
    """Sum of two tensors of one shape: the join of a residual connection.

    One integer of either means as much; factors of a branch may be in the meaning only, so `scale`
    of the two may differ.
    """


@dataclass(frozen=True)
class GlobalSum(Node):
    """(C, H, W) -> (C,): integer sum over the pixels; global average pooling without its 1/N."""


@dataclass(frozen=True)
class MaxPool(Node):
    """Maximum over a window; kernel and stride (vertical, horizontal), no dilation.

    `pads`: (top, left, bottom, right) of the type's lowest code, which never wins.
    """

    kernel: tuple[int, int] = (2, 2)
    stride: tuple[int, int] = (2, 2)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class Concat(Node):
    """The channels of two tensors or more, those of the first lowest: maps of one height and width,
    or vectors. Each keeps its own meaning: the result has one scale where they all have it."""


@dataclass(frozen=True)
class Upsample(Node):
    """Every pixel of a map repeated `factor` (vertical, horizontal) times."""

    factor: tuple[int, int] = (2, 2)


@dataclass(frozen=True)
class Dilate(Node):
    """A map with `step` - 1 (vertical, horizontal) rows and columns of code 0 between neighbouring
    pixels, none around it: (C, H, W) -> (C, (H - 1)·vertical + 1, (W - 1)·horizontal + 1)."""

    step: tuple[int, int] = (2, 2)


@dataclass(frozen=True)
class DepthToSpace(Node):
    """(B·B·C, H, W) -> (C, B·H, B·W): channel (by·B + bx)·C + c of a pixel becomes channel c of the
    pixel in row by and column bx of its square; ONNX's mode DCR."""

    block: int = 2


@dataclass(frozen=True)
class Flatten(Node):
    """(C, H, W) -> (C·H·W,), channel slowest: row-major as in ONNX."""


@dataclass(frozen=True)
class ArgMax(Node):
    """Index of the largest channel, the lowest index on a tie: (F,) -> (1,), or for every pixel
    (C, H, W) -> (1, H, W)."""


@dataclass(frozen=True)
class IntegerGraph:
    """Nodes in execution order between one input and one output tensor.

    `head` says what the integers of the logits mean, which are the output, or what an ArgMax at the
    end compares. `preparation` says which codes a frame has; None for plain ones, `x / scale`
    rounded, in the input's own shape.
    """

    name: str
    input: str
    output: str
    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]
    head: Head = field(default_factory=Head)
    preparation: InputPreparation | None = None

    @cached_property
    def prepared(self) -> InputPreparation:
        """`preparation`, or the plain one."""
        if self.preparation is not None:
            return self.preparation
        source = self.tensors[self.input]
        return plain(source.scale, source.lo, source.hi, source.shape)

    @property
    def logits(self) -> str:
        """Name of the tensor that `head` is about."""
        last = self.producer(self.output)
        return last.inputs[0] if isinstance(last, ArgMax) else self.output

    def producer(self, tensor: str) -> Node | None:
        """The node that makes `tensor`, None for the input."""
        return next((node for node in self.nodes if node.output == tensor), None)

    def consumers(self, tensor: str) -> list[Node]:
        """The nodes that read `tensor`."""
        return [node for node in self.nodes if tensor in node.inputs]

    def boundaries(self) -> list[str]:
        """Names of the tensors that are streams of codes in hardware, in execution order, without
        the input and with the output."""
        return [node.output for node in self.nodes if self._is_boundary(node)]

    def _is_boundary(self, node: Node) -> bool:
        if node.output == self.output:
            return True
        if isinstance(node, Flatten):
            return False
        users = self.consumers(node.output)
        if isinstance(node, Conv | Dense | Bias | Add | GlobalSum):
            return len(users) != 1 or not isinstance(users[0], Threshold | Bias)
        return True

    def weights_of(self, kinds: Sequence[type[Node]] = (Conv, Dense)) -> int:
        """Number of weights in the nodes of the given kinds."""
        return sum(
            n.weights.size for n in self.nodes if isinstance(n, Conv | Dense) and type(n) in kinds
        )

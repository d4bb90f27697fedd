"""Random integer graphs of the supported layers, with exact intervals, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    Flatten,
    GlobalSum,
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)
from qdeploy.ir.intervals import node_intervals


@dataclass
class GraphMaker:
    """Builds a chain layer by layer; weights and thresholds come from the seed."""

    seed: int
    shape: tuple[int, ...]
    bits: int = 8
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        dtype = IntType(self.bits, False)
        self.now = self._tensor("x", self.shape, dtype, dtype.lo, dtype.hi)

    def conv(
        self,
        channels: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (1, 1, 1, 1),
        dilation: tuple[int, int] = (1, 1),
        weight_bits: int = 2,
    ) -> GraphMaker:
        name = self._name("conv")
        self.source = self.now
        weights = self._weights((channels, self.now.shape[0], *kernel), weight_bits)
        sizes = []
        for axis in range(2):
            padded = self.now.shape[1 + axis] + pads[axis] + pads[axis + 2]
            sizes.append((padded - dilation[axis] * (kernel[axis] - 1) - 1) // stride[axis] + 1)
        node = Conv(
            f"{name}.conv",
            name,
            (self.now.name,),
            f"{name}.acc",
            weights=weights,
            stride=stride,
            pads=pads,
            dilation=dilation,
        )
        return self._accumulate(node, (channels, *sizes))

    def depthwise(
        self,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (1, 1, 1, 1),
        dilation: tuple[int, int] = (1, 1),
        weight_bits: int = 2,
    ) -> GraphMaker:
        """One kernel per channel."""
        channels = self.now.shape[0]
        self.conv(channels, kernel, stride, pads, dilation, weight_bits)
        wide = self.nodes.pop()
        assert isinstance(wide, Conv)
        weights, shape = self._weights((channels, 1, *kernel), weight_bits), self.now.shape
        self.now = self.source
        return self._accumulate(replace(wide, weights=weights, groups=channels), shape)

    def mark(self) -> Tensor:
        """The tensor made last, to come back to."""
        return self.now

    def back_to(self, tensor: Tensor) -> GraphMaker:
        """Go on from an earlier tensor: a fork."""
        self.now = tensor
        return self

    def add(self, other: Tensor) -> GraphMaker:
        """Join with another branch."""
        source, name = self.now, self._name("add")
        lo, hi = source.lo + other.lo, source.hi + other.hi
        out = self._tensor(f"{name}.sum", source.shape, IntType.holding(lo, hi), lo, hi)
        self.nodes.append(Add(f"{name}.add", name, (source.name, other.name), out.name))
        self.now = out
        return self

    def global_sum(self) -> GraphMaker:
        source, name = self.now, self._name("pool")
        pixels = source.shape[1] * source.shape[2]
        lo, hi = pixels * source.lo, pixels * source.hi
        out = self._tensor(f"{name}.sum", source.shape[:1], IntType.holding(lo, hi), lo, hi)
        self.nodes.append(GlobalSum(f"{name}.pool", name, (source.name,), out.name))
        self.now = out
        return self

    def dense(self, features: int, weight_bits: int = 2) -> GraphMaker:
        name = self._name("fc")
        weights = self._weights((features, self.now.size), weight_bits)
        node = Dense(f"{name}.dense", name, (self.now.name,), f"{name}.acc", weights=weights)
        return self._accumulate(node, (features,))

    def threshold(self, bits: int = 2, base: int = 0) -> GraphMaker:
        """Ascending thresholds over the accumulator's interval, some out of reach."""
        source, name = self.now, self._name("act")
        levels = 2**bits - 1
        spread = self.random.integers(source.lo - 1, source.hi + 2, (source.shape[0], levels))
        table = np.sort(np.clip(spread // 2, source.lo, source.hi + 1), axis=1)
        table[0] = source.hi + 1  # a dead channel
        dtype = IntType(bits, base < 0)
        out = self._tensor(f"{name}.code", source.shape, dtype, base, base + levels)
        self.nodes.append(
            Threshold(
                f"{name}.threshold", name, (source.name,), out.name, thresholds=table, base=base
            )
        )
        self.now = out
        return self

    def max_pool(
        self,
        kernel: tuple[int, int] = (2, 2),
        stride: tuple[int, int] = (2, 2),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    ) -> GraphMaker:
        source, name = self.now, self._name("pool")
        padded = [source.shape[1 + axis] + pads[axis] + pads[axis + 2] for axis in range(2)]
        sizes = [(padded[axis] - kernel[axis]) // stride[axis] + 1 for axis in range(2)]
        out = self._tensor(
            f"{name}.code", (source.shape[0], *sizes), source.dtype, source.lo, source.hi
        )
        self.nodes.append(
            MaxPool(
                f"{name}.max",
                name,
                (source.name,),
                out.name,
                kernel=kernel,
                stride=stride,
                pads=pads,
            )
        )
        self.now = out
        return self

    def concat(self, *others: Tensor) -> GraphMaker:
        """The channels of the last tensor, then those of others."""
        parts, name = (self.now, *others), self._name("concat")
        lo, hi = min(one.dtype.lo for one in parts), max(one.dtype.hi for one in parts)
        shape = (sum(one.shape[0] for one in parts), *self.now.shape[1:])
        ends = min(one.lo for one in parts), max(one.hi for one in parts)
        out = self._tensor(f"{name}.code", shape, IntType.holding(lo, hi), *ends)
        inputs = tuple(one.name for one in parts)
        self.nodes.append(Concat(f"{name}.concat", name, inputs, out.name))
        self.now = out
        return self

    def upsample(self, factor: tuple[int, int] = (2, 2)) -> GraphMaker:
        channels, height, width = self.now.shape
        shape = channels, height * factor[0], width * factor[1]
        return self._moved("upsample", shape, Upsample, factor=factor)

    def dilate(self, step: tuple[int, int] = (2, 2)) -> GraphMaker:
        channels, height, width = self.now.shape
        shape = channels, (height - 1) * step[0] + 1, (width - 1) * step[1] + 1
        return self._moved("dilate", shape, Dilate, step=step)

    def depth_to_space(self, block: int = 2) -> GraphMaker:
        channels, height, width = self.now.shape
        shape = channels // block**2, height * block, width * block
        return self._moved("spread", shape, DepthToSpace, block=block)

    def flatten(self) -> GraphMaker:
        source, name = self.now, self._name("flatten")
        out = self._tensor(f"{name}.flat", (source.size,), source.dtype, source.lo, source.hi)
        self.nodes.append(Flatten(f"{name}.flatten", name, (source.name,), out.name))
        self.now = out
        return self

    def bias(self) -> GraphMaker:
        source, name = self.now, self._name("bias")
        bias = self.random.integers(-100, 100, source.shape[0])
        lo, hi = source.lo + int(bias.min()), source.hi + int(bias.max())
        out = self._tensor(f"{name}.sum", source.shape, IntType.holding(lo, hi), lo, hi)
        self.nodes.append(Bias(f"{name}.add", name, (source.name,), out.name, bias=bias))
        self.now = out
        return self

    def argmax(self) -> GraphMaker:
        """Of a vector, or of every pixel."""
        source, name = self.now, self._name("argmax")
        hi = source.shape[0] - 1
        shape = (1, *source.shape[1:])
        out = self._tensor(f"{name}.index", shape, IntType(8, False), 0, hi)
        self.nodes.append(ArgMax(f"{name}.argmax", name, (source.name,), out.name))
        self.now = out
        return self

    def _moved(
        self, kind: str, shape: tuple[int, ...], node: Callable[..., Node], **how: Any
    ) -> GraphMaker:
        source, name = self.now, self._name(kind)
        lo, hi = min(source.lo, 0), max(source.hi, 0)
        out = self._tensor(f"{name}.code", shape, source.dtype, lo, hi)
        self.nodes.append(node(f"{name}.{kind}", name, (source.name,), out.name, **how))
        self.now = out
        return self

    def graph(self, name: str = "toy") -> IntegerGraph:
        return IntegerGraph(
            name, "x", self.now.name, tuple(self.nodes), self.tensors, Head((Fraction(1, 2),))
        )

    def frames(self, count: int) -> np.ndarray:
        """Random input codes, the extremes first."""
        source = self.tensors["x"]
        codes = self.random.integers(source.lo, source.hi + 1, (count, *source.shape))
        codes[0], codes[-1] = source.hi, source.lo
        return codes

    def _name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}"

    def _tensor(
        self, name: str, shape: tuple[int, ...], dtype: IntType, lo: int, hi: int
    ) -> Tensor:
        self.tensors[name] = Tensor(name, tuple(shape), dtype, lo, hi, Fraction(1))
        return self.tensors[name]

    def _weights(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        top = 2 ** (bits - 1) - 1
        return self.random.integers(-top, top + 1, shape)

    def _accumulate(self, node: Conv | Dense, shape: tuple[int, ...]) -> GraphMaker:
        lo, hi = node_intervals(node, self.now).bounds
        self.nodes.append(node)
        self.now = self._tensor(node.output, shape, IntType.holding(lo, hi), lo, hi)
        return self


def small_convnet(seed: int = 0) -> GraphMaker:
    """Convolution, max-pool, strided convolution, fully connected head; 8-bit ends."""
    maker = GraphMaker(seed, (1, 9, 8))
    maker.conv(8, weight_bits=8).threshold().max_pool()
    maker.conv(16, stride=(2, 2)).threshold().flatten()
    return maker.dense(10, weight_bits=8)


def small_mlp(seed: int = 0) -> GraphMaker:
    """Image in, two hidden layers, logits."""
    maker = GraphMaker(seed, (2, 4, 3), bits=4)
    maker.flatten().dense(16, weight_bits=8).threshold().dense(12).threshold(bits=3)
    return maker.dense(7, weight_bits=4)


def small_resnet(seed: int = 0) -> GraphMaker:
    """A stem, a block with identity shortcut, a strided block with projection, pooled head."""
    maker = GraphMaker(seed, (2, 8, 8))
    maker.conv(4, weight_bits=8).threshold()
    for channels, stride in ((4, 1), (8, 2)):
        start = maker.mark()
        if stride == 1:
            shortcut = maker.threshold(bits=4, base=-8).mark()
        else:
            shortcut = (
                maker.conv(channels, (1, 1), (stride, stride), (0, 0, 0, 0))
                .threshold(bits=4, base=-8)
                .mark()
            )
        maker.back_to(start).conv(channels, stride=(stride, stride)).threshold()
        maker.conv(channels).threshold(bits=4, base=-8)
        maker.add(shortcut).threshold()
    return maker.global_sum().dense(10, weight_bits=8)


def small_mobilenet(seed: int = 0) -> GraphMaker:
    """Inverted residuals: pointwise, depthwise, linear bottleneck; one with a shortcut."""
    maker = GraphMaker(seed, (3, 9, 8)).conv(4, stride=(2, 2), weight_bits=8)
    maker.threshold(bits=4, base=-8)
    for stride in (1, 2):
        start = maker.mark()
        maker.conv(12, (1, 1), (1, 1), (0, 0, 0, 0), weight_bits=4).threshold(bits=4)
        maker.depthwise(stride=(stride, stride), weight_bits=4).threshold(bits=4)
        maker.conv(4, (1, 1), (1, 1), (0, 0, 0, 0), weight_bits=4).threshold(bits=4, base=-8)
        if stride == 1:
            maker.add(start).threshold(bits=4, base=-8)
    maker.conv(10, (1, 1), (1, 1), (0, 0, 0, 0), weight_bits=4).threshold(bits=8)
    return maker.global_sum().dense(7, weight_bits=8)


def small_unet(seed: int = 0) -> GraphMaker:
    """Down twice, up twice by repetition, each time joined with the map of that size."""
    maker = GraphMaker(seed, (2, 8, 8)).conv(4, weight_bits=8).threshold(bits=3)
    skips = []
    for channels in (6, 8):
        skips.append(maker.mark())
        maker.max_pool().conv(channels).threshold()
    for channels in (6, 4):
        maker.upsample().concat(skips.pop()).conv(channels).threshold(bits=3)
    return maker.conv(3, (1, 1), pads=(0, 0, 0, 0), weight_bits=4)


def small_densenet(seed: int = 0) -> GraphMaker:
    """Each layer reads the channels of all before it."""
    maker = GraphMaker(seed, (2, 6, 6)).conv(4, weight_bits=8).threshold(bits=4)
    for _ in range(3):
        trunk = maker.mark()
        maker.conv(2).threshold(bits=4, base=-8)
        maker.concat(trunk)
    return maker.threshold(bits=3).global_sum().dense(5, weight_bits=8)


def small_decoder(seed: int = 0) -> GraphMaker:
    """A transposed convolution and a depth to space."""
    maker = GraphMaker(seed, (2, 4, 5)).conv(4, weight_bits=8).threshold(bits=3, base=-4)
    maker.dilate().conv(12, (3, 3), pads=(1, 1, 2, 2)).threshold(bits=3)
    return maker.depth_to_space().conv(3, (1, 1), pads=(0, 0, 0, 0), weight_bits=4)

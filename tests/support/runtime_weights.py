"""Two networks of one shape: a design of the first, an image of the second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from random_graphs import GraphMaker

from qdeploy.build_folder import HARDWARE_FILE
from qdeploy.dataflow.compile import compile_graph
from qdeploy.dataflow.loaded import weights_image
from qdeploy.design.loading import image_of
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.any_weights import for_any_weights
from qdeploy.ir.integer_graph import (
    Bias,
    Conv,
    Dense,
    IntArray,
    IntegerGraph,
    IntType,
    Threshold,
)


@dataclass(frozen=True)
class Swap:
    """A design with the weights of `first`, and the images of both networks."""

    folder: Path
    design: Design
    first: IntegerGraph
    second: IntegerGraph
    images: tuple[bytes, bytes]
    frames: IntArray


def loadable_mlp(seed: int) -> GraphMaker:
    """Fully connected layers that compare and search, a bias, the class at the end."""
    maker = GraphMaker(seed, (2, 3, 2), bits=4).flatten().dense(12, weight_bits=4).threshold()
    maker.dense(8).threshold(bits=5, base=-16).dense(6).bias()
    return maker.argmax()


def loadable_sums(seed: int) -> GraphMaker:
    """As `loadable_mlp`, with signed sums at the end."""
    maker = GraphMaker(seed, (2, 3, 2), bits=4).flatten().dense(12, weight_bits=4).threshold()
    return maker.dense(8).threshold(bits=5, base=-16).dense(6).bias()


def loadable_convnet(seed: int) -> GraphMaker:
    """A convolution, a depthwise one, thresholds after a sum, a pooled head."""
    maker = GraphMaker(seed, (1, 6, 5), bits=4).conv(4, weight_bits=4).threshold(bits=3)
    start = maker.mark()
    maker.depthwise(weight_bits=3).threshold(bits=3)
    maker.add(start).threshold()
    return maker.max_pool().global_sum().dense(5)


def loadable_rows(seed: int) -> GraphMaker:
    """Convolutions over rows of eight pixels, which take several per beat at a high rate."""
    maker = GraphMaker(seed, (1, 4, 8), bits=4).conv(4, weight_bits=3).threshold(bits=3)
    start = maker.mark()
    maker.conv(4).threshold(bits=3)
    maker.add(start).threshold()
    return maker.max_pool().global_sum().dense(5)


def loadable_wide_codes(seed: int) -> GraphMaker:
    """Codes of 6 and 8 bits, after convolutions and a sum of branches."""
    maker = line(GraphMaker(seed, (1, 4, 8), bits=4).conv(4, weight_bits=3), bits=8)
    start = maker.mark()
    line(maker.conv(4), bits=8).add(start)
    return line(maker, bits=6, base=-32).global_sum().dense(5)


def line(maker: GraphMaker, bits: int, base: int = 0) -> GraphMaker:
    """A quantizer: the code is a channel's scale times the sum plus its offset, half to even."""
    source, name = maker.now, maker._name("act")
    levels = (1 << bits) - 1
    table = np.zeros((source.shape[0], levels), dtype=np.int64)
    for channel in range(len(table)):
        scale = Fraction(float(maker.random.uniform(1, 3))) * levels / (source.hi - source.lo)
        # On a grid, so that there are ties.
        scale = Fraction(round(scale * 1024), 1024)
        offset = base + levels // 2 + Fraction(int(maker.random.integers(-12, 12)), 4)
        for level in range(levels):
            code = base + level + 1
            point = (code - Fraction(1, 2) - offset) / scale
            least = -(-point.numerator // point.denominator)
            tie = point.denominator == 1 and code % 2 == 1
            table[channel, level] = min(max(least + tie, source.lo), source.hi + 1)
    out = maker._tensor(f"{name}.code", source.shape, IntType(bits, base < 0), base, base + levels)
    maker.nodes.append(
        Threshold(f"{name}.threshold", name, (source.name,), out.name, thresholds=table, base=base)
    )
    maker.now = out
    return maker


def loadable_bits(seed: int) -> GraphMaker:
    """Bits times -1 and +1: XNOR units."""
    maker = GraphMaker(seed, (1, 4, 3), bits=1).flatten().dense(8).threshold(bits=1)
    maker.dense(6).threshold().dense(4)
    for index, node in enumerate(maker.nodes):
        if isinstance(node, Dense):
            weights = np.where(node.weights == 0, 1, node.weights)
            maker.nodes[index] = replace(node, weights=weights)
    return maker


def swap(make: Callable[[int], GraphMaker], fps: float, folder: Path, frames: int) -> Swap:
    """Compile the first network; the image of the second is that of its own design, folded alike.

    The two have the same Verilog: what is in memories shapes none of it.
    """
    makers = make(0), make(1)
    graphs = [for_any_weights(maker.graph()) for maker in makers]
    designs, images, texts = [], [], []
    for index, graph in enumerate(graphs):
        out = folder / f"rtl{index}"
        design = compile_graph(graph, load_board("pynq-z2"), out, fps=fps, loadable=True).design
        assert design.loading is not None
        words = {name: (out / name).read_text().split() for name in design.memories}
        images.append(image_of(design.loading.loads, words))
        texts.append({name: (out / name).read_text() for name in design.sources})
        designs.append(design)
    assert texts[0] == texts[1]
    codes = np.concatenate([maker.frames(frames) for maker in makers])
    return Swap(folder / "rtl0", designs[0], graphs[0], graphs[1], (images[0], images[1]), codes)


def swap_image(make: Callable[[int], GraphMaker], fps: float, folder: Path, frames: int) -> Swap:
    """Compile the first network; images as `qdeploy weights` makes them, of both."""
    makers = make(0), make(1)
    graphs = [for_any_weights(maker.graph()) for maker in makers]
    rtl = folder / "rtl"
    design = compile_graph(graphs[0], load_board("pynq-z2"), rtl, fps=fps, loadable=True).design
    first, second = (weights_image(graph, folder / HARDWARE_FILE, design, rtl) for graph in graphs)
    codes = np.concatenate([maker.frames(frames) for maker in makers])
    return Swap(rtl, design, graphs[0], graphs[1], (first, second), codes)


def with_random_numbers(graph: IntegerGraph, seed: int) -> IntegerGraph:
    """Any weights and biases of the bits that the graph's have, and thresholds in their range."""
    random = np.random.default_rng(seed)

    def drawn(values: IntArray) -> IntArray:
        bits = max(int(np.abs(values).max()).bit_length() + 1, 2)
        ends = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        some: IntArray = random.choice([*ends, 0], values.shape)
        return some if random.random() < 0.5 else np.full(values.shape, random.choice(ends))

    nodes = []
    for node in graph.nodes:
        if isinstance(node, Conv | Dense):
            node = replace(node, weights=drawn(node.weights))
        elif isinstance(node, Bias):
            node = replace(node, bias=drawn(node.bias))
        elif isinstance(node, Threshold):
            source = graph.tensors[node.inputs[0]]
            table = random.integers(source.lo, source.hi + 1, node.thresholds.shape)
            node = replace(node, thresholds=np.sort(table, axis=1))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))

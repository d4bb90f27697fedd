"""Which layers can multiply instead of searching their thresholds.

    requires   RTL backends, named after the integer graph's nodes
    transform  for more than 15 levels, fixed-point numbers fitted over the exact interval of each
               channel's sums go into the node's attributes
    ensures    a node that carries numbers gets every code of its thresholds from them

Where no numbers fit (ties of a factor that is no binary fraction, say) the node stays as it is and
its thresholds are searched. The folding may still prefer the search where DSP blocks run out.
Where numbers are loaded they are fitted to multipliers with room for those of other networks, whose
own `refit_requantization` finds for the hardware that there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.finn.nodes import LOADABLE, HwNode, hw_nodes
from qdeploy.dataflow.rtl.memories import MAX_PARALLEL_LEVELS
from qdeploy.errors import UserError
from qdeploy.ir.fixed_point import Multiplier, fit_fixed_point, fit_to
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Concat,
    Conv,
    Dense,
    GlobalSum,
    IntArray,
    IntegerGraph,
    Threshold,
)
from qdeploy.ir.intervals import Intervals, node_intervals

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


# Bits of a multiplier in one DSP block, by those of the other operand (`hw/rtl/qd_product.v`).
_NARROW_SUM, _FREE_BITS, _FREE_BITS_WIDE = 18, 24, 17


def fit_requantization(model: ModelWrapper, graph: IntegerGraph) -> ModelWrapper:
    """Fit every layer of more than 15 levels, in place; returns the model."""
    for layer, _, table in _layers(model, graph):
        found = fit_fixed_point(*table)
        if found is None:
            continue
        if not layer.integer(LOADABLE):
            layer.instance.set_fixed_point(found)
            continue
        narrow = layer.instance.accumulator_bits(model) <= _NARROW_SUM
        hardware = Multiplier.with_room(found, _FREE_BITS if narrow else _FREE_BITS_WIDE)
        fitted = fit_to(hardware, *table)
        if fitted is not None:
            layer.instance.set_fixed_point(fitted, hardware.bits)
    return model


def refit_requantization(model: ModelWrapper, graph: IntegerGraph) -> ModelWrapper:
    """Numbers of folded layers with loaded ones, for the thresholds they have now, in place;
    returns the model.

    Raises:
        UserError: a layer's multipliers are too narrow for its codes.
    """
    for layer, title, table in _layers(model, graph):
        hardware = layer.instance.loaded_multiplier()
        if hardware is None:
            continue
        found = fit_to(hardware, *table)
        if found is None:
            raise UserError(
                "the design's multipliers do not give every code of this network",
                where=f"layer `{title}`",
                why=f"none of {hardware.bits} bits does, at a shift of {hardware.shift}",
                do=f"export with a folding file that has `{layer.name}: {{requantize: 0}}`: a "
                "search takes any thresholds",
            )
        layer.instance.set_fixed_point(found, hardware.bits)
    return model


def _layers(
    model: ModelWrapper, graph: IntegerGraph
) -> Iterator[tuple[HwNode, str, tuple[IntArray, IntArray, IntArray, int]]]:
    """Layers of more than 15 levels, with the network's name of them, and thresholds (channels,
    levels) of one pixel, both ends of the sums by channel, and the lowest code."""
    nodes = {node.name: node for node in graph.nodes}
    for layer in hw_nodes(model):
        if not layer.has_thresholds:
            continue
        thresholds = layer.thresholds()
        if thresholds.shape[1] <= MAX_PARALLEL_LEVELS:
            continue
        owner = nodes[layer.layer]
        sums = owner.inputs[0] if isinstance(owner, Threshold) else owner.output
        interval = channel_intervals(graph, sums)
        lo, hi = (np.array(ends, dtype=np.int64) for ends in (interval.lo, interval.hi))
        # Pixels of a beat repeat the channels.
        table = np.broadcast_to(thresholds[: len(lo)], (len(lo), thresholds.shape[1]))
        yield layer, owner.layer, (table, lo, hi, layer.integer("ActVal"))


def channel_intervals(graph: IntegerGraph, tensor: str) -> Intervals:
    """Exact interval of each channel of a tensor: its own for sums, the same one for codes."""
    node, found = graph.producer(tensor), graph.tensors[tensor]
    match node:
        case Conv() | Dense():
            return node_intervals(node, graph.tensors[node.inputs[0]])
        case Add():
            left, right = (channel_intervals(graph, name) for name in node.inputs)
            return left.plus(right)
        case Concat():
            return Intervals.joined(channel_intervals(graph, name) for name in node.inputs)
        case GlobalSum():
            _, height, width = graph.tensors[node.inputs[0]].shape
            return channel_intervals(graph, node.inputs[0]).times(height * width)
        case Bias():
            bias = tuple(node.bias.tolist())
            return channel_intervals(graph, node.inputs[0]).plus(Intervals(bias, bias))
    return Intervals((found.lo,) * found.shape[0], (found.hi,) * found.shape[0])

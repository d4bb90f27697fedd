"""Move each channel's bias to where float rounding is furthest from changing a code.

A channel's value is v(n) = g·n + b, and its thresholds stay as they are while for every k

    v(T_k)     stays on or above the edge e_k                   (T_k can be reached)
    v(T_k - 1) stays below e_k                                  (T_k can be missed)

with e_k = s·(k - 1/2), or a learned threshold. So b may fall by `down`, the least v(T_k) - e_k, and
rise by `up`, the least e_k - v(T_k - 1). With b' = b + (up - down)/2 the integers are the same, and
a float level has to err by (up + down)/2 before it disagrees. Without it a trained network now and
then has a value 1e-8 of a step from an edge, and the float levels then differ from the integer
graph in single codes.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import lcm

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntArray, Threshold
from qdeploy.ir.intervals import Intervals
from qdeploy.lowering.canonical.passes import Pass, PassResult, initializers
from qdeploy.lowering.integers.builder import Lowered, ThresholdSource
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.lowering.integers.thresholds import threshold_table


class CentreMargins(Pass):
    """Biases of Add nodes before quantizers move; every threshold stays."""

    def call(self, model: ModelProto) -> PassResult:
        lowered = lower_model(model)
        before = _tables(lowered)
        for node in lowered.graph.nodes:
            if isinstance(node, Threshold):
                _centre_layer(model, lowered, node)
        if before != _tables(lower_model(model)):
            raise PassError("centring a margin changed a threshold")
        return PassResult(model, True)


def slack(row: IntArray, source: ThresholdSource, channel: int, lo: int, hi: int) -> Fraction:
    """(up - down)/2 of one channel, in units of the value; one code where a side is free."""
    edges = source.quantizer.value_edges()
    exact = source.gain[channel], source.offset[channel], source.quantizer.scale
    # Integers in units of 1/unit: tables of 255 thresholds are too long for fractions.
    unit = lcm(edges.denominator, *(value.denominator for value in exact))
    gain, offset, code = (value.numerator * (unit // value.denominator) for value in exact)
    down = up = code
    numerators = edges.numerators[len(edges.numerators) - len(row) :]
    for threshold, edge in zip(row.tolist(), numerators.tolist(), strict=True):
        value = gain * threshold + offset - edge * (unit // edges.denominator)
        if threshold <= hi:
            down = min(down, value)
        if threshold > lo:
            up = min(up, gain - value)
    return Fraction(up - down, 2 * unit)


def _centre_layer(model: ModelProto, lowered: Lowered, node: Threshold) -> None:
    source = lowered.affine.get(node.output)
    if source is None:
        return
    name = _preceding_bias(model, source.quantized)
    bias = None if name is None else initializers(model)[name]
    channels = len(node.thresholds)
    tensor = lowered.graph.tensors[node.inputs[0]]
    if bias is None or bias.dtype != np.float32 or bias.size != channels or not source.is_plain:
        return
    acc = lowered.intervals.get(tensor.name)
    if acc is None:
        acc = Intervals((tensor.lo,) * channels, (tensor.hi,) * channels)
    moved = bias.copy()
    for channel, row in enumerate(node.thresholds):
        lo, hi = acc.lo[channel], acc.hi[channel]
        old = Fraction(float(bias.flat[channel]))
        new = np.float32(float(old + slack(row, source, channel, lo, hi)))
        offset = source.offset[channel] + Fraction(float(new)) - old
        table = threshold_table(
            [source.gain[channel]],
            [offset],
            source.quantizer,
            Intervals((lo,), (hi,)),
            source.steps,
        )[:, node.base - source.quantizer.lo :]
        # Rounding the new bias to float32 may leave a very narrow margin: keep the old one then.
        if np.array_equal(table[0], row):
            moved.flat[channel] = new
    item = next(i for i in model.graph.initializer if i.name == name)
    item.CopyFrom(numpy_helper.from_array(moved, name))


def _preceding_bias(model: ModelProto, quantized: str) -> str | None:
    """The constant of the Add before the quantizer (and its ReLU).

    Nothing else may read it, nor what the Add and the ReLU make: their readers would move too.
    """
    producers = {output: node for node in model.graph.node for output in node.output}
    readers = Counter(name for node in model.graph.node for name in node.input)
    readers.update(item.name for item in model.graph.output)
    node: NodeProto | None = producers.get(producers[quantized].input[0])
    if node is not None and node.op_type == "Relu" and readers[node.output[0]] == 1:
        node = producers.get(node.input[0])
    if node is None or node.op_type != "Add" or readers[node.output[0]] != 1:
        return None
    known = initializers(model)
    constants = [name for name in node.input if name in known]
    return constants[0] if len(constants) == 1 and readers[constants[0]] == 1 else None


def _tables(lowered: Lowered) -> list[list[list[int]]]:
    return [n.thresholds.tolist() for n in lowered.graph.nodes if isinstance(n, Threshold)]

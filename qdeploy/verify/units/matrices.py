"""Weights as matrix units hold them: rows and columns in the order of the unit's own streams.

convolution      columns (ky, kx, c), channels innermost, as a window gives them
several pixels   columns (ky, column, pixel, c), rows (output pixel, o); see `shapes`
after a Flatten  columns in the order in which the map streams, (h, w, c)
"""

from __future__ import annotations

import numpy as np

from qdeploy.ir.integer_graph import Conv, Dense, Flatten, IntArray, IntegerGraph
from qdeploy.verify.units.shapes import RowShape


def convolution_matrix(node: Conv, row: RowShape) -> IntArray:
    """(rows, columns) of a convolution at the pixels per beat of `row`; zero where an output pixel
    does not see an input, and between the channels of a depthwise one."""
    weights = _dense_channels(node)
    features, channels, tall, wide = weights.shape
    if row.pixels == 1:
        return np.ascontiguousarray(weights.transpose(0, 2, 3, 1).reshape(features, -1))
    width = row.span * row.pixels
    matrix = np.zeros((row.outputs, features, tall, width, channels), dtype=np.int64)
    for pixel in range(row.outputs):
        for tap in range(wide):
            at = row.first + pixel * node.stride[1] + tap * node.dilation[1]
            matrix[pixel, :, :, at] = weights[:, :, :, tap].transpose(0, 2, 1)
    return matrix.reshape(row.outputs * features, -1)


def depthwise_kernel(node: Conv) -> IntArray:
    """(channels, positions) of a depthwise convolution, positions (ky, kx)."""
    return node.weights.reshape(len(node.weights), -1).astype(np.int64)


def dense_matrix(node: Dense, graph: IntegerGraph) -> IntArray:
    """(out, in) of a fully connected layer, columns in the order of its stream."""
    return np.ascontiguousarray(node.weights.astype(np.int64)[:, stream_order(graph, node)])


def stream_order(graph: IntegerGraph, node: Dense) -> IntArray:
    """For each element of a fully connected layer's stream, the input it is."""
    count = node.weights.shape[1]
    source = graph.producer(node.inputs[0])
    if not isinstance(source, Flatten):
        return np.arange(count)
    shape = graph.tensors[source.inputs[0]].shape
    if len(shape) == 1:
        return np.arange(count)
    channels, height, width = shape
    numbers = np.arange(count).reshape(channels, height, width)
    return np.ascontiguousarray(numbers.transpose(1, 2, 0)).reshape(-1)


def _dense_channels(node: Conv) -> IntArray:
    """Weights (out, in, kh, kw), those of a grouped convolution zero between its groups."""
    weights = node.weights.astype(np.int64)
    if node.groups == 1:
        return weights
    features, inner, tall, wide = weights.shape
    outer = features // node.groups
    whole = np.zeros((features, inner * node.groups, tall, wide), dtype=np.int64)
    for group in range(node.groups):
        rows = slice(group * outer, (group + 1) * outer)
        whole[rows, group * inner : (group + 1) * inner] = weights[rows]
    return whole

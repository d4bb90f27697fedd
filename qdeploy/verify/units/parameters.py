"""What a hardware layer must hold and do, from the integer graph and the manifest alone.

The manifest says which nodes a layer computes and how many pixels it takes per beat; everything
else is the graph's: weights in the order of the layer's streams, thresholds, biases, the geometry
of paddings and windows. How the hardware represents them (bit planes, XNORs, fixed-point numbers, a
search) is not asked here: a layer has to be the same function.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

import numpy as np

from qdeploy.design.manifest import PIXELS, Design, Layer
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    GlobalSum,
    IntArray,
    IntegerGraph,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)
from qdeploy.verify.units.matrices import convolution_matrix, dense_matrix, depthwise_kernel
from qdeploy.verify.units.ranges import channel_range
from qdeploy.verify.units.shapes import PaddingShape, RowShape, WindowShape, row_shape


class UnitKind(Enum):
    """What a hardware layer does to the elements of its streams."""

    MATRIX = "matrix"
    DEPTHWISE = "depthwise"
    THRESHOLDS = "thresholds"
    BIAS = "bias"
    ADDITION = "addition"
    PADDING = "padding"
    WINDOW = "window"
    MAX_POOL = "max_pool"
    GLOBAL_SUM = "global_sum"
    ARGMAX = "argmax"
    CONCAT = "concat"
    # More pixels: repeated, with zeros between them, or made of channels.
    ENLARGE = "enlarge"
    # FIFOs, width converters and forks give out every element as it came.
    COPY = "copy"


# Units whose results are elements that came in, or zeros.
MOVING = (UnitKind.CONCAT, UnitKind.ENLARGE)
# FINN's operators that carry elements on, with a beat of another width, later, or twice.
CARRIERS = ("StreamingFIFO", "StreamingDataWidthConverter", "DuplicateStreams")
PADDING, WINDOW = "FMPadding", "ConvolutionInputGenerator"
MATRIX, DEPTHWISE = "MVAU", "VVAU"


@dataclass(frozen=True)
class UnitParameters:
    """What one hardware layer must hold and do. Arrays are int64.

    Args:
        layer: of the manifest.
        kind: what it does.
        nodes: of the integer graph that it computes (serves, where it is a padding or window).
        inputs: the graph's tensors at its input ports, whose codes are all in [lo, hi]; two for an
            addition, two or more for a concatenation, none for what only copies.
        output: the graph's tensor at its output; that of its input where it pads or cuts windows.
        pixels: M, neighbouring pixels of a row in one column of its input.
        outputs: J, pixels of its output that it computes from one window or column at once.
        matrix: (rows, columns) of a matrix unit. Columns are the elements of a window in the order
            of the stream, (ky, kx, c), or (ky, column, pixel, c) for several pixels; of a map that
            was flattened (h, w, c). Rows are the elements of the result, (output pixel, channel).
        kernel: (channels, positions) of a depthwise unit, positions (ky, kx).
        bias: (channels,) of a unit that adds one.
        thresholds: (channels, levels), ascending; None for a unit that outputs sums. Its code is
            `base` + #{k : sum >= thresholds[channel, k]}.
        sum_lo, sum_hi: (channels,) of a unit that sums or has thresholds: ends of the sums it
            compares or outputs, which hold for every frame.
        channels: elements of one result vector: rows of a matrix, channels times pixels else.
        vectors: result vectors per frame.
        positions: beats or pixels that one result is made of: K of a depthwise unit or a pool, all
            pixels of a map for a global sum.
        padding, window: geometry of a padding or window, as it sees the map.
    """

    layer: Layer
    kind: UnitKind
    nodes: tuple[Node, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    output: Tensor | None = None
    pixels: int = 1
    outputs: int = 1
    matrix: IntArray | None = None
    kernel: IntArray | None = None
    bias: IntArray | None = None
    thresholds: IntArray | None = None
    base: int = 0
    sum_lo: IntArray | None = None
    sum_hi: IntArray | None = None
    channels: int = 1
    vectors: int = 1
    positions: int = 1
    padding: PaddingShape | None = None
    window: WindowShape | None = None


def unit_parameters(design: Design, graph: IntegerGraph, layer: Layer) -> UnitParameters:
    """What `layer` must hold and do.

    Raises:
        PassError: the manifest contradicts the graph: it names a node that does not exist, an
            operator that cannot compute it, or pixels per beat that do not fit the map.
        UserError: the design was stitched before its streams were recorded.
    """
    if layer.op in CARRIERS:
        return UnitParameters(layer, UnitKind.COPY)
    by_name = {node.name: node for node in graph.nodes}
    unknown = [name for name in layer.nodes if name not in by_name]
    if unknown or not layer.nodes:
        raise PassError(
            f"layer `{layer.name}` computes {unknown or 'no nodes'}: not in the integer graph"
        )
    nodes = tuple(by_name[name] for name in layer.nodes)
    if layer.op in (PADDING, WINDOW):
        return _mover(design, graph, layer, nodes[0])
    found = replace(
        _unit(graph, layer, nodes),
        nodes=nodes,
        inputs=tuple(graph.tensors[name] for name in nodes[0].inputs),
        output=graph.tensors[nodes[-1].output],
    )
    for before, after in pairwise(nodes):
        if after.inputs != (before.output,) or not isinstance(after, Threshold):
            raise _contradiction(layer, after)
    return _with_codes(graph, found)


def served_unit(design: Design, layer: Layer) -> Layer:
    """The layer that a padding or window works for: the next one that computes something."""
    layers = {one.module: one for one in design.layers}
    movers = (*CARRIERS, PADDING, WINDOW)
    while layer.op in movers:
        after = layers.get(design.ports_of(layer.module)["out0"].sink.module)
        if after is None:
            raise PassError(f"`{layer.name}` leads to no layer that computes")
        layer = after
    return layer


def is_depthwise(node: Node) -> bool:
    """Whether a node is a depthwise convolution."""
    return isinstance(node, Conv) and node.groups > 1


def _contradiction(layer: Layer, node: Node) -> PassError:
    kind = type(node).__name__
    return PassError(f"layer `{layer.name}`, a {layer.op}, cannot compute `{node.name}`, a {kind}")


def _pixels(layer: Layer) -> int:
    return layer.folding.get(PIXELS, 1)


def _map(tensor: Tensor) -> tuple[int, int, int]:
    """Rows, columns and channels of a stream; a vector is one pixel."""
    if len(tensor.shape) == 1:
        return 1, 1, tensor.shape[0]
    channels, rows, columns = tensor.shape
    return rows, columns, channels


def _unit(graph: IntegerGraph, layer: Layer, nodes: tuple[Node, ...]) -> UnitParameters:
    """The first node's part: matrix, kernel, bias, positions."""
    node, pixels = nodes[0], _pixels(layer)
    result = graph.tensors[node.output]
    rows, columns, channels = _map(result)
    if isinstance(node, Conv) and layer.op == DEPTHWISE and is_depthwise(node):
        kernel = depthwise_kernel(node)
        return UnitParameters(
            layer,
            UnitKind.DEPTHWISE,
            kernel=kernel,
            channels=channels,
            vectors=rows * columns,
            positions=kernel.shape[1],
        )
    if isinstance(node, Conv) and layer.op == MATRIX:
        row = _row(graph, node, pixels)
        return UnitParameters(
            layer,
            UnitKind.MATRIX,
            pixels=pixels,
            outputs=row.outputs,
            matrix=convolution_matrix(node, row),
            channels=channels * row.outputs,
            vectors=rows * row.count,
        )
    if isinstance(node, Dense) and layer.op == MATRIX and pixels == 1:
        matrix = dense_matrix(node, graph)
        return UnitParameters(layer, UnitKind.MATRIX, matrix=matrix, channels=channels)
    if columns % pixels:
        raise PassError(f"layer `{layer.name}`: {columns} columns in groups of {pixels}")
    wide = UnitParameters(
        layer,
        UnitKind.THRESHOLDS,
        pixels=pixels,
        outputs=pixels,
        channels=channels * pixels,
        vectors=rows * columns // pixels,
    )
    match layer.op, node:
        case "Thresholding", Threshold():
            return wide
        case "ElementwiseAdd", Add():
            return replace(wide, kind=UnitKind.ADDITION)
        case "ElementwiseAdd", Bias():
            bias = np.tile(node.bias.astype(np.int64), pixels)
            return replace(wide, kind=UnitKind.BIAS, bias=bias)
        case "Pool", MaxPool() if pixels == 1:
            positions = node.kernel[0] * node.kernel[1]
            return replace(wide, kind=UnitKind.MAX_POOL, positions=positions)
        case "GlobalAccPool", GlobalSum() if pixels == 1:
            height, width, _ = _map(graph.tensors[node.inputs[0]])
            return replace(wide, kind=UnitKind.GLOBAL_SUM, positions=height * width)
        case "StreamingConcat", Concat() if pixels == 1:
            return replace(wide, kind=UnitKind.CONCAT)
        case (
            ("UpsampleNearestNeighbour", Upsample())
            | ("FMPadding_Pixel", Dilate())
            | ("StreamingDepthToSpace", DepthToSpace())
        ) if pixels == 1:
            return replace(wide, kind=UnitKind.ENLARGE)
        case "LabelSelect", ArgMax() if pixels == 1:
            labels = graph.tensors[node.inputs[0]].shape[0]
            return replace(wide, kind=UnitKind.ARGMAX, positions=labels)
    raise _contradiction(layer, node)


def _with_codes(graph: IntegerGraph, unit: UnitParameters) -> UnitParameters:
    """With the range of the unit's sums, and its thresholds where it has any."""
    if unit.kind in (UnitKind.MAX_POOL, UnitKind.ARGMAX, *MOVING):
        return unit
    last = unit.nodes[-1]
    sums = last.inputs[0] if isinstance(last, Threshold) else last.output
    low, high = (np.tile(end, unit.outputs) for end in channel_range(graph, sums))
    unit = replace(unit, sum_lo=low, sum_hi=high)
    if isinstance(last, Threshold):
        table = np.tile(last.thresholds.astype(np.int64), (unit.outputs, 1))
        unit = replace(unit, thresholds=table, base=last.base)
    return unit


def _row(graph: IntegerGraph, node: Conv, pixels: int) -> RowShape:
    width, out = (graph.tensors[name].shape[2] for name in (node.inputs[0], node.output))
    return row_shape(node, width, out, pixels)


def _mover(design: Design, graph: IntegerGraph, layer: Layer, node: Node) -> UnitParameters:
    """A padding or a window."""
    unit = served_unit(design, layer)
    if node.name not in unit.nodes:
        raise PassError(f"`{layer.name}` serves `{node.name}`, and leads to `{unit.name}`")
    source = graph.tensors[node.inputs[0]]
    if isinstance(node, Conv):
        padding, window = _convolution_shapes(graph, node, unit)
    elif isinstance(node, MaxPool) and _pixels(unit) == 1:
        padding, window = _pool_shapes(graph, node)
    else:
        raise _contradiction(layer, node)
    kind = UnitKind.PADDING if layer.op == PADDING else UnitKind.WINDOW
    shape = padding.padded if kind is UnitKind.PADDING else window.out
    return UnitParameters(
        layer,
        kind,
        nodes=(node,),
        inputs=(source,),
        output=source,
        pixels=_pixels(unit),
        channels=padding.channels,
        vectors=shape[0] * shape[1],
        positions=1 if kind is UnitKind.PADDING else window.kernel[0] * window.kernel[1],
        padding=padding if kind is UnitKind.PADDING else None,
        window=window if kind is UnitKind.WINDOW else None,
    )


def _convolution_shapes(
    graph: IntegerGraph, node: Conv, unit: Layer
) -> tuple[PaddingShape, WindowShape]:
    pixels = _pixels(unit)
    height, width, channels = _map(graph.tensors[node.inputs[0]])
    out_height = graph.tensors[node.output].shape[1]
    top, _, bottom, _ = node.pads
    row = _row(graph, node, pixels)
    padding = PaddingShape(
        height, width // pixels, channels * pixels, top, row.left, bottom, row.right, 0
    )
    tall, wide = node.weights.shape[2:]
    rows, columns = padding.padded
    window = WindowShape(
        rows,
        columns,
        channels * pixels,
        kernel=(tall, wide if pixels == 1 else row.span),
        stride=(node.stride[0], row.step),
        dilation=(node.dilation[0], node.dilation[1] if pixels == 1 else 1),
        out=(out_height, row.count),
        by_channel=unit.op == DEPTHWISE,
    )
    return padding, window


def _pool_shapes(graph: IntegerGraph, node: MaxPool) -> tuple[PaddingShape, WindowShape]:
    source = graph.tensors[node.inputs[0]]
    height, width, channels = _map(source)
    out_height, out_width, _ = _map(graph.tensors[node.output])
    # The lowest code of the type never is a maximum.
    padding = PaddingShape(height, width, channels, *node.pads, source.dtype.lo)
    rows, columns = padding.padded
    window = WindowShape(
        rows,
        columns,
        channels,
        kernel=node.kernel,
        stride=node.stride,
        dilation=(1, 1),
        out=(out_height, out_width),
        by_channel=True,
    )
    return padding, window

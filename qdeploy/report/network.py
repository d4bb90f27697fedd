"""A network as a table: its layers in execution order, and where each of them goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

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
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)
from qdeploy.report.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

HEAD = ("layer", "kind", "in", "out", "codes", "scale", "weights", "zeros", "MAC", "goes to")
_RIGHT = (6, 7, 8)
_UNITS = {
    Add: "adder of streams",
    ArgMax: "class unit",
    Bias: "adder of constants",
    Concat: "joining of streams",
    DepthToSpace: "rows of pixels from channels",
    Dilate: "zeros between pixels",
    Flatten: "nothing: the order stays",
    GlobalSum: "sum unit",
    MaxPool: "pool unit",
    Upsample: "repetition of pixels",
}


@dataclass(frozen=True)
class LayerRow:
    """One node of the integer graph.

    Args:
        shape_in, shape_out: per frame, (channels, height, width) or (features,).
        codes: type and interval of the result, such as `u2 0..3`.
        scale: value of one code, None where it differs by channel or is not defined.
        zeros: how many of the weights are 0.
        macs: multiplications and additions of one frame.
        goes_to: the hardware unit, or what absorbs it.
        absorbs: operators of the file that it stands for.
    """

    layer: str
    kind: str
    shape_in: tuple[int, ...]
    shape_out: tuple[int, ...]
    codes: str
    scale: float | None
    weights: int
    zeros: int
    macs: int
    goes_to: str
    absorbs: tuple[str, ...]


def layer_rows(
    graph: IntegerGraph, absorbed: Mapping[str, tuple[str, ...]] | None = None
) -> list[LayerRow]:
    """The nodes of a graph in execution order."""
    known = absorbed or {}
    return [_row(graph, node, known.get(node.output, ())) for node in graph.nodes]


def as_data(graph: IntegerGraph, rows: list[LayerRow]) -> dict[str, Any]:
    """Input, layers and totals, for JSON."""
    source, logits = graph.tensors[graph.input], graph.tensors[graph.logits]
    return {
        "input": {"shape": source.shape, "codes": _codes(source), "scale": _scale(source)},
        "layers": [asdict(row) for row in rows],
        "logits": {"shape": logits.shape, "codes": _codes(logits), "scale": _scale(logits)},
        "weights": sum(row.weights for row in rows),
        "zeros": sum(row.zeros for row in rows),
        "macs": sum(row.macs for row in rows),
    }


def print_network(
    graph: IntegerGraph, rows: list[LayerRow], console: Console, prepared: Sequence[str] = ()
) -> None:
    """The table of the layers, with the input above and the totals below.

    Args:
        prepared: operators of the file that the host does before the first codes.
    """
    source = graph.tensors[graph.input]
    weights, zeros = (sum(getattr(row, key) for row in rows) for key in ("weights", "zeros"))
    scale = "" if source.scale is None else f"{float(source.scale):.6g}"
    host = f"host ({', '.join(prepared)})" if prepared else "host"
    first = ("input", "stream", "", _shape(source.shape), _codes(source), scale, *[""] * 3, host)
    total = ("total", *[""] * 5, f"{weights:,}", _share(zeros, weights))
    last = (*total, f"{sum(row.macs for row in rows):,}", "")
    cells = [first, *(_cells(row) for row in rows), last]
    print_table(f"Network {graph.name}", HEAD, cells, right=_RIGHT, console=console)


def _row(graph: IntegerGraph, node: Node, absorbs: tuple[str, ...]) -> LayerRow:
    source, output = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    weights = node.weights if isinstance(node, Conv | Dense) else None
    macs = 0
    if weights is not None:
        macs = prod(weights.shape[1:]) * output.size
    return LayerRow(
        node.layer,
        _kind(node),
        source.shape,
        output.shape,
        _codes(output),
        _scale(output),
        0 if weights is None else weights.size,
        0 if weights is None else int(weights.size - np.count_nonzero(weights)),
        macs,
        _goes_to(graph, node),
        absorbs,
    )


def _kind(node: Node) -> str:
    if isinstance(node, Conv):
        name = "depthwise" if node.groups > 1 else "Conv"
        height, width = node.weights.shape[2:]
        stride = "" if node.stride == (1, 1) else f" /{node.stride[0]}"
        return f"{name} {height}x{width}{stride}"
    if isinstance(node, MaxPool):
        return f"MaxPool {node.kernel[0]}x{node.kernel[1]}"
    if isinstance(node, Upsample):
        return f"Upsample {node.factor[0]}x{node.factor[1]}"
    if isinstance(node, Dilate):
        return f"Dilate {node.step[0]}x{node.step[1]}"
    if isinstance(node, DepthToSpace):
        return f"DepthToSpace {node.block}"
    if isinstance(node, Threshold):
        return f"Threshold {node.thresholds.shape[1]}"
    return type(node).__name__


def _goes_to(graph: IntegerGraph, node: Node) -> str:
    if isinstance(node, Conv | Dense):
        return "depthwise unit" if isinstance(node, Conv) and node.groups > 1 else "matrix unit"
    if isinstance(node, Threshold):
        producer = graph.producer(node.inputs[0])
        fused = producer is not None and node.inputs[0] not in graph.boundaries()
        return f"thresholds of {producer.layer}" if fused and producer else "threshold unit"
    return _UNITS.get(type(node), "hardware")


def _cells(row: LayerRow) -> tuple[str, ...]:
    goes = row.goes_to
    if row.absorbs:
        goes += f" ({', '.join(row.absorbs)})"
    return (
        row.layer,
        row.kind,
        _shape(row.shape_in),
        _shape(row.shape_out),
        row.codes,
        "" if row.scale is None else f"{row.scale:.6g}",
        f"{row.weights:,}" if row.weights else "",
        _share(row.zeros, row.weights),
        f"{row.macs:,}" if row.macs else "",
        goes,
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)


def _codes(tensor: Tensor) -> str:
    return f"{'s' if tensor.dtype.signed else 'u'}{tensor.dtype.bits} {tensor.lo}..{tensor.hi}"


def _scale(tensor: Tensor) -> float | None:
    return None if tensor.scale is None else float(tensor.scale)

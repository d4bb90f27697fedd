"""The integer graph as text for people: one aligned line per node, the same for the same graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import (
    Bias,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    IntArray,
    IntegerGraph,
    IntType,
    MaxPool,
    Node,
    Tensor,
    Threshold,
    Upsample,
)

HEADINGS = ("node", "kind", "reads", "makes", "shape", "codes", "parameters", "layer")


def graph_text(graph: IntegerGraph) -> str:
    """A graph as text.

    The first lines give its name, its size and its input, the last one its output and the scale of
    the logits. In between, one line per node in execution order:

        node, kind      its name and its type
        reads, makes    the names of its input and output tensors
        shape           of its first input and its output, (channels, height, width) or (features,)
        codes           the type of its output and the interval of the codes that occur
        parameters      geometry where it is not the default; weights: how many, type, zeros;
                        thresholds per channel
        layer           the layer of the recipe that it came from

    Characters that cannot be printed are escaped, since names may come from a file.
    """
    source, output = graph.tensors[graph.input], graph.tensors[graph.output]
    rows = [HEADINGS, *(_row(graph, node) for node in graph.nodes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        f"integer graph `{_printable(graph.name)}`: {_count(len(graph.nodes), 'node')}, "
        f"{_count(graph.weights_of(), 'weight')}",
        f"input   {_tensor(source)}",
        "",
        *(_aligned(row, widths) for row in rows),
        "",
        f"output  {_tensor(output)}; logits = {_head(graph.head)}",
        *(f"        channels of `{_printable(n)}`: {size}" for n, size in graph.head.parts),
    ]
    return "\n".join(lines) + "\n"


def _head(head: Head) -> str:
    if head.scale is not None:
        return f"{float(head.scale)!r} x codes"
    gain = "one gain" if len(head.gain) == 1 else f"{len(head.gain)} gains"
    return (
        f"{gain} from {float(min(head.gain)):.6g} to {float(max(head.gain)):.6g} x codes, plus "
        f"offsets from {float(min(head.offset)):.6g} to {float(max(head.offset)):.6g}"
    )


def _row(graph: IntegerGraph, node: Node) -> tuple[str, ...]:
    source, made = graph.tensors[node.inputs[0]], graph.tensors[node.output]
    return (
        _printable(node.name),
        type(node).__name__,
        _printable(" + ".join(node.inputs)),
        _printable(node.output),
        f"{_shape(source.shape)} -> {_shape(made.shape)}",
        _codes(made),
        ", ".join(_parameters(node)),
        _printable(node.layer),
    )


def _parameters(node: Node) -> Iterator[str]:
    if isinstance(node, Conv):
        yield from _windows(node.weights.shape[2:], node.stride, node.pads)
        if node.dilation != (1, 1):
            yield f"dilation {_by(node.dilation)}"
        if node.groups != 1:
            yield f"{node.groups} groups"
    if isinstance(node, Upsample):
        yield f"factor {_by(node.factor)}"
    if isinstance(node, Dilate):
        yield f"step {_by(node.step)}"
    if isinstance(node, DepthToSpace):
        yield f"block {node.block}"
    if isinstance(node, MaxPool):
        yield from _windows(node.kernel, node.stride, node.pads)
    if isinstance(node, Conv | Dense):
        yield f"{_count(node.weights.size, 'weight')} {_type(_holding(node.weights))}"
        yield _count(int((node.weights == 0).sum()), "zero")
    if isinstance(node, Bias):
        yield f"bias [{node.bias.min()}, {node.bias.max()}]"
    if isinstance(node, Threshold):
        yield f"{_count(node.thresholds.shape[1], 'threshold')} per channel"
        if node.base:
            yield f"codes from {node.base}"


def _windows(kernel: Sequence[int], stride: Sequence[int], pads: Sequence[int]) -> Iterator[str]:
    yield f"kernel {_by(kernel)}"
    if tuple(stride) != (1, 1):
        yield f"stride {_by(stride)}"
    if any(pads):
        yield f"pads {' '.join(map(str, pads))}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _tensor(tensor: Tensor) -> str:
    scale = "" if tensor.scale is None else f", scale {tensor.scale}"
    return f"{_printable(tensor.name)} {_shape(tensor.shape)}, {_codes(tensor)}{scale}"


def _codes(tensor: Tensor) -> str:
    return f"{_type(tensor.dtype)} [{tensor.lo}, {tensor.hi}]"


def _type(dtype: IntType) -> str:
    return f"{'int' if dtype.signed else 'uint'}{dtype.bits}"


def _holding(values: IntArray) -> IntType:
    return IntType.holding(int(values.min()), int(values.max()))


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))


def _count(number: int, noun: str) -> str:
    plural = {"zero": "zeros"}.get(noun, f"{noun}s")
    return f"{number:,} {noun if number == 1 else plural}"


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )

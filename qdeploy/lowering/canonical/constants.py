"""Constants that standard nodes compute become initializers, as far as their size is bounded.

A node may turn a few bytes into terabytes (Expand, Range, Tile, a broadcast), or never come to an
end. So the size of a result follows from the operator and its inputs before it is computed, and
operators not known here are left in the file, where the lowering refuses them by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.bounds import MAX_ELEMENTS, STANDARD_DOMAINS
from qdeploy.lowering.canonical.refusal import refuse, refuse_operator

_ANY_SIZE = 0


def refuse_growth(model: ModelProto) -> None:
    """Refuse nodes whose results are as large as a frame's values say.

    Raises:
        UnsupportedLayerError: there is one.
    """
    known = {item.name for item in model.graph.initializer}
    for node in model.graph.node:
        if node.domain not in STANDARD_DOMAINS:
            continue
        if node.op_type in _ENLARGING and not all(name in known for name in node.input[1:] if name):
            raise refuse(
                node,
                "its factors are computed at run time",
                why="hardware is built for one size",
                do="export with a fixed input size, so that the factors are constants",
            )
        if node.op_type in _GROWING:
            raise refuse_operator(node)


def foldable(node: NodeProto, known: Mapping[str, np.ndarray]) -> bool:
    """Whether a standard node of constants may be computed: a known operator, a bounded result.

    Raises:
        UnsupportedLayerError: its result would be too large.
    """
    values = [known[name] for name in node.input if name]
    try:
        size = _result_size(node, values)
    except (ValueError, IndexError, TypeError, OverflowError) as error:
        raise refuse(
            node,
            "its constants do not go together",
            why=" ".join(str(error).split()),
            do="export the network again",
        ) from error
    if size is None:
        return False
    if size > MAX_ELEMENTS:
        raise too_many(node, size, MAX_ELEMENTS)
    return True


def too_many(node: NodeProto, size: int, most: int) -> UnsupportedLayerError:
    """The refusal of a node whose constants have `size` elements, more than `most`."""
    return refuse(
        node,
        f"a constant of {size:,} elements is computed here",
        why=f"at most {most:,} are",
        do="store constants in the file, or drop what nobody needs",
    )


_GROWING = frozenset(
    (
        *("Expand", "ConstantOfShape", "Range", "Tile", "OneHot", "RandomNormal", "RandomUniform"),
        *("RandomNormalLike", "RandomUniformLike", "NonZero", "EyeLike"),
    )
)
# Those of whose results the shape is inferred, and bounded, where all but the frame is constant.
_ENLARGING = ("Resize", "Upsample")
# Operators of constants that give no more elements than their inputs have.
_NO_LARGER = frozenset(
    (
        *("Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice"),
        *("Shape", "Size", "Neg", "Abs", "Sqrt", "Reciprocal", "Exp", "Log", "Floor", "Ceil"),
        *("Round", "Sign", "Clip", "Not", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax"),
        *("ReduceMin", "Concat", "Softmax", "Relu", "Sigmoid", "Tanh"),
    )
)
_BROADCAST = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Mod", "Equal", "Less", "Greater"),
        *("LessOrEqual", "GreaterOrEqual", "And", "Or", "Where", "PRelu"),
    )
)


def _result_size(node: NodeProto, values: list[np.ndarray]) -> int | None:
    """Elements of a node's result, None for an operator that is not computed here."""
    kind = node.op_type
    attributes = {item.name: item for item in node.attribute}
    if kind == "Constant":
        return _ANY_SIZE  # its tensor was checked with the file
    if kind in _NO_LARGER:
        return sum(value.size for value in values) + max((v.ndim for v in values), default=0)
    if kind in _BROADCAST:
        return prod(np.broadcast_shapes(*(value.shape for value in values)))
    if kind == "Expand":
        sizes = [int(size) for size in values[1].reshape(-1)]
        _no_negative(sizes)
        return prod(max(pair) for pair in _aligned(values[0].shape, sizes))
    if kind == "ConstantOfShape":
        sizes = [int(size) for size in values[0].reshape(-1)]
        _no_negative(sizes)
        return prod(sizes)
    if kind == "Tile":
        repeats = [int(size) for size in values[1].reshape(-1)]
        _no_negative(repeats)
        return values[0].size * prod(repeats)
    if kind == "Range":
        start, limit, delta = (float(value.reshape(-1)[0]) for value in values)
        if delta == 0 or not np.isfinite([start, limit, delta]).all():
            raise ValueError(f"a range from {start} to {limit} in steps of {delta}")
        return max(0, int((limit - start) / delta) + 1)
    if kind == "Gather":
        axis = int(attributes["axis"].i) if "axis" in attributes else 0
        return values[0].size // max(values[0].shape[axis], 1) * values[1].size
    if kind in ("MatMul", "Gemm"):
        rows, columns = prod(values[0].shape[:-1]), prod(values[1].shape[1:])
        # The products are what takes time: a thousand of them count as an element.
        products = rows * columns * max((*values[0].shape, *values[1].shape), default=1)
        return max(rows * columns + values[0].size + values[1].size, products >> 10)
    return None


def _aligned(a: tuple[int, ...], b: list[int]) -> Iterator[tuple[int, int]]:
    rank = max(len(a), len(b))
    return zip((1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b), strict=True)


def _no_negative(sizes: list[int]) -> None:
    if min(sizes, default=0) < 0:
        raise ValueError(f"a shape of {sizes}")

"""Functions and methods of tensors as operations, by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from qdeploy.tracing.chains import Chain, RefusedError, Shape
from qdeploy.tracing.enlarge import enlarged, shuffled
from qdeploy.tracing.leaves import adaptive_average, chain_of, reshaped
from qdeploy.tracing.modules import Add, Arithmetic, Concat
from qdeploy.tracing.operations import Kind
from qdeploy.tracing.tracer import VALUE

# In place, reflected and long names of what is one function.
_SAME_NAME = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "dropout1d": "dropout",
    "dropout2d": "dropout",
    "alpha_dropout": "dropout",
    "feature_dropout": "dropout",
}
_WITHOUT_EFFECT = {"contiguous", "clone", "float", "detach", "to", "identity"}


def name_of(node: fx.Node) -> str:
    """The name of the function or method that a node calls: `relu` for `F.relu` and `x.relu_()`."""
    target = node.target
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    name = name.strip("_")
    if name in ("iadd", "isub", "imul", "itruediv", "idiv"):
        name = name[1:]
    return _SAME_NAME.get(name, name)


def chain_of_function(node: fx.Node, name: str, operands: list[fx.Node]) -> Chain:
    """The operations that a call of a function is.

    Args:
        name: as `name_of` gives it.
        operands: the activations among its arguments.

    Raises:
        RefusedError: it cannot be quantized.
    """
    made = shape_of(node)
    if name in _WITHOUT_EFFECT and len(operands) == 1:
        return [(Kind.VIEW, nn.Identity())]
    if name in ("view", "reshape", "flatten", "squeeze", "unsqueeze") and len(operands) == 1:
        return reshaped(shape_of(operands[0]), made)
    if name in _JOINS:
        return _JOINS[name](node, operands, made)
    if name in _POINTWISE and len(operands) == 1:
        return chain_of(_POINTWISE[name](node), shape_of(operands[0]), made)
    if name in _POOLS:
        return _POOLS[name](node, shape_of(operands[0]), made)
    raise RefusedError("it has no form of integers")


def shape_of(node: fx.Node) -> Shape:
    """Shape of a node's value, without the axis of frames."""
    value = node.meta[VALUE]
    return tuple(value.shape[1:])


def _given(node: fx.Node, place: int, name: str, default: Any = None) -> Any:
    """An argument by position or name; numbers that the graph computes are those of the example."""
    found = node.args[place] if place < len(node.args) else node.kwargs.get(name, default)
    return fx.node.map_arg(found, lambda one: one.meta[VALUE])


def _sum(node: fx.Node, operands: list[fx.Node], made: Shape) -> Chain:
    if _given(node, 2, "alpha", 1) != 1:
        raise RefusedError("it has an `alpha`", "multiply before the addition")
    if len(operands) == 2:
        if shape_of(operands[0]) != shape_of(operands[1]):
            raise RefusedError(
                f"it adds {shape_of(operands[1])} to {shape_of(operands[0])}",
                "add activations of one shape",
            )
        return [(Kind.ADD, Add())]
    return _arithmetic("add", node, operands, made)


def _difference(node: fx.Node, operands: list[fx.Node], made: Shape) -> Chain:
    if len(operands) == 2:
        raise RefusedError("it subtracts an activation from another", "add the two")
    return _arithmetic("sub", node, operands, made)


def _product(node: fx.Node, operands: list[fx.Node], made: Shape) -> Chain:
    if len(operands) == 2:
        raise RefusedError("it multiplies two activations")
    return _arithmetic("mul", node, operands, made)


def _quotient(node: fx.Node, operands: list[fx.Node], made: Shape) -> Chain:
    if len(operands) == 2:
        raise RefusedError("it divides an activation by another")
    return _arithmetic("div", node, operands, made)


def _arithmetic(kind: str, node: fx.Node, operands: list[fx.Node], made: Shape) -> Chain:
    place = 1 if node.args and node.args[0] is operands[0] else 0
    constant = _given(node, place, "other")
    if isinstance(constant, torch.Tensor):
        per_channel = constant.numel() == 1 or (
            constant.numel() == constant.shape[max(0, constant.dim() - len(made))] == made[0]
        )
        if not per_channel:
            raise RefusedError(
                f"its constant has the shape {tuple(constant.shape)}",
                "use one number, or one for each channel, (C, 1, 1)",
            )
    elif not isinstance(constant, int | float):
        raise RefusedError(f"its operand is of type {type(constant).__name__}")
    if shape_of(operands[0]) != made:
        raise RefusedError(f"it makes {made} of frames of shape {shape_of(operands[0])}")
    if kind == "div" and place == 0:
        raise RefusedError("it divides by an activation")
    return [(Kind.ARITHMETIC, Arithmetic(kind, constant, first=place == 0))]


def _cat(node: fx.Node, operands: list[fx.Node], made: Shape) -> Chain:
    dim = _given(node, 1, "dim", 0)
    if dim not in (1, -len(made)):
        raise RefusedError(f"it joins along axis {dim}", "join channels: torch.cat(..., dim=1)")
    return [(Kind.CONCAT, Concat())]


def _mean(node: fx.Node, given: Shape, made: Shape) -> Chain:
    dims, rank = _given(node, 1, "dim"), len(given) + 1
    axes = sorted({axis % rank for axis in ([dims] if isinstance(dims, int) else dims or [])})
    if axes != list(range(2, rank)) or rank < 3:
        raise RefusedError(
            f"it averages over axes {dims}", "average over the whole map: dim=(2, 3)"
        )
    chain: Chain = adaptive_average(given, (given[0], *(1 for _ in given[1:])))
    if len(made) == 1:
        chain.append((Kind.VIEW, nn.Flatten()))
    return chain


def _max_pool(node: fx.Node, given: Shape, made: Shape) -> Chain:
    kind = nn.MaxPool2d if len(given) == 3 else nn.MaxPool1d
    kernel = _given(node, 1, "kernel_size")
    pool = kind(
        kernel,
        _given(node, 2, "stride") or kernel,
        _given(node, 3, "padding", 0),
        _given(node, 4, "dilation", 1),
        ceil_mode=_given(node, 5, "ceil_mode", False),
    )
    return [(Kind.POOL, pool)]


def _average_pool(node: fx.Node, given: Shape, made: Shape) -> Chain:
    kind: Any = nn.AvgPool2d if len(given) == 3 else nn.AvgPool1d
    kernel = _given(node, 1, "kernel_size")
    pool = kind(
        kernel,
        _given(node, 2, "stride") or kernel,
        _given(node, 3, "padding", 0),
        _given(node, 4, "ceil_mode", False),
        _given(node, 5, "count_include_pad", True),
    )
    return chain_of(pool, given, made)


def _adaptive(node: fx.Node, given: Shape, made: Shape) -> Chain:
    return adaptive_average(given, made)


def _pad(node: fx.Node, given: Shape, made: Shape) -> Chain:
    widths, mode = _given(node, 1, "pad"), _given(node, 2, "mode", "constant")
    if mode != "constant" or _given(node, 3, "value") not in (None, 0) or len(widths) != 4:
        raise RefusedError(
            "it pads with something else than zeros around a map", "use nn.ZeroPad2d"
        )
    return [(Kind.POOL, nn.ZeroPad2d(tuple(widths)))]


def _interpolated(node: fx.Node, given: Shape, made: Shape) -> Chain:
    return enlarged(str(_given(node, 3, "mode", "nearest")), given, made)


def _shuffled(node: fx.Node, given: Shape, made: Shape) -> Chain:
    return shuffled(nn.PixelShuffle(_given(node, 1, "upscale_factor")), given, made)


_JOINS: dict[str, Callable[[fx.Node, list[fx.Node], Shape], Chain]] = {
    "add": _sum,
    "sub": _difference,
    "mul": _product,
    "div": _quotient,
    "cat": _cat,
}
_POOLS: dict[str, Callable[[fx.Node, Shape, Shape], Chain]] = {
    "mean": _mean,
    "max_pool2d": _max_pool,
    "max_pool1d": _max_pool,
    "avg_pool2d": _average_pool,
    "avg_pool1d": _average_pool,
    "adaptive_avg_pool2d": _adaptive,
    "adaptive_avg_pool1d": _adaptive,
    "pad": _pad,
    "interpolate": _interpolated,
    "upsample": _interpolated,
    "upsample_nearest": lambda node, given, made: enlarged("nearest", given, made),
    "pixel_shuffle": _shuffled,
}
_POINTWISE: dict[str, Callable[[fx.Node], nn.Module]] = {
    "relu": lambda node: nn.ReLU(),
    "relu6": lambda node: nn.ReLU6(),
    "hardtanh": lambda node: nn.Hardtanh(
        _given(node, 1, "min_val", -1.0), _given(node, 2, "max_val", 1.0)
    ),
    "leaky_relu": lambda node: nn.LeakyReLU(_given(node, 1, "negative_slope", 0.01)),
    # The person's `training=self.training` is that of the new network.
    "dropout": lambda node: nn.Dropout(_given(node, 1, "p", 0.5)),
    "softmax": lambda node: nn.Softmax(_given(node, 1, "dim", 1)),
    "log_softmax": lambda node: nn.LogSoftmax(_given(node, 1, "dim", 1)),
    "sigmoid": lambda node: nn.Sigmoid(),
}

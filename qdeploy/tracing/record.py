"""The operations of a traced network as plain data: a recipe, and so a run, holds all of it.

An operation is a dictionary: `name`, `kind`, `inputs`, `shape`, `uses`, and `layer`, a dictionary
with the name of a class and what its constructor takes. Only classes that are listed here are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.tracing import modules
from qdeploy.tracing.operations import INPUT, FloatGraph, Kind, Operation

# Of one layer: larger than any that fits a board, smaller than the memory.
MOST_WEIGHTS = 1 << 28
_POOL = ("kernel_size", "stride", "padding")
_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
_NORM = ("num_features", "eps", "momentum", "affine")
_CEIL = ("ceil_mode", "count_include_pad")
# Class -> arguments of its constructor, which it has as attributes.
_ARGUMENTS: Mapping[type[nn.Module], tuple[str, ...]] = {
    nn.Conv1d: (*_CONV, "bias"),
    nn.Conv2d: (*_CONV, "bias"),
    nn.ConvTranspose1d: (*_CONV, "output_padding", "bias"),
    nn.ConvTranspose2d: (*_CONV, "output_padding", "bias"),
    nn.Linear: ("in_features", "out_features", "bias"),
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
    nn.ReLU: (),
    nn.ReLU6: (),
    nn.Hardtanh: ("min_val", "max_val"),
    nn.LeakyReLU: ("negative_slope",),
    nn.MaxPool1d: (*_POOL, "dilation", "ceil_mode"),
    nn.MaxPool2d: (*_POOL, "dilation", "ceil_mode"),
    nn.AvgPool1d: (*_POOL, *_CEIL),
    nn.AvgPool2d: (*_POOL, *_CEIL),
    nn.AdaptiveAvgPool1d: ("output_size",),
    nn.AdaptiveAvgPool2d: ("output_size",),
    nn.ZeroPad2d: ("padding",),
    nn.Upsample: ("scale_factor", "mode"),
    nn.PixelShuffle: ("upscale_factor",),
    nn.Flatten: ("start_dim",),
    nn.Dropout: ("p",),
    nn.Dropout1d: ("p",),
    nn.Dropout2d: ("p",),
    nn.Softmax: ("dim",),
    nn.LogSoftmax: ("dim",),
    nn.Sigmoid: (),
    modules.Add: (),
    modules.Concat: (),
    modules.DropPath: ("p",),
    modules.AsSeries: (),
}
_CLASSES = {kind.__name__: kind for kind in _ARGUMENTS}
_ARITHMETIC = modules.Arithmetic.__name__


def record_of(graph: FloatGraph) -> list[dict[str, Any]]:
    """The operations as JSON data, without weights."""
    return [
        {
            "name": one.name,
            "kind": one.kind.value,
            "inputs": list(one.inputs),
            "shape": list(one.shape),
            "uses": one.uses,
            "layer": None if one.module is None else _layer_record(one.module),
        }
        for one in graph.operations
    ]


def graph_of(record: Sequence[Mapping[str, Any]], output: str, kind: str) -> FloatGraph:
    """The operations again, with fresh weights.

    Raises:
        RecipeError: they are not what `record_of` gives.
    """
    operations: list[Operation] = []
    shared: dict[str, nn.Module] = {}
    known: set[str] = set()
    try:
        for one in record:
            name, inputs = str(one["name"]), tuple(map(str, one["inputs"]))
            if name in known or not known.issuperset(inputs) or (name == INPUT) == bool(known):
                raise ValueError(f"`{name}` reads what is not there, or is there twice")
            known.add(name)
            layer, uses = one["layer"], str(one["uses"])
            if layer is not None and uses not in shared:
                shared[uses] = _layer(layer)
            shape = tuple(int(size) for size in one["shape"])
            module = None if layer is None else shared[uses]
            operations.append(Operation(name, Kind(one["kind"]), inputs, module, shape, uses, None))
        if output not in known or output == INPUT:
            raise ValueError(f"there is no result `{output}`")
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(
            "the operations of the network are not those of a traced one",
            where="network.operations",
            why=f"{type(error).__name__}: {error}",
            do="leave the section as `qdeploy.train` wrote it",
        ) from error
    return FloatGraph(tuple(operations), output, kind)


def _layer_record(module: nn.Module) -> dict[str, Any]:
    if isinstance(module, modules.Arithmetic):
        return {
            "class": _ARITHMETIC,
            "kind": module.kind,
            "constant": module.constant.detach().tolist(),
            "first": module.first,
            "trained": isinstance(module.constant, nn.Parameter),
        }
    kind = next(one for one in _ARGUMENTS if isinstance(module, one))
    arguments = {name: _plain(getattr(module, name)) for name in _ARGUMENTS[kind]}
    return {"class": kind.__name__, **arguments}


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor) or value is None:
        return value is not None  # a bias
    return list(value) if isinstance(value, tuple) else value


def _layer(record: Mapping[str, Any]) -> nn.Module:
    given = {key: _tuples(value) for key, value in record.items() if key != "class"}
    if record["class"] == _ARITHMETIC:
        constant = torch.tensor(record["constant"], dtype=torch.float32)
        made = nn.Parameter(constant) if record["trained"] else constant
        return modules.Arithmetic(str(record["kind"]), made, bool(record["first"]))
    kind = _CLASSES[record["class"]]
    if set(given) != set(_ARGUMENTS[kind]):
        raise ValueError(f"{kind.__name__} takes {', '.join(_ARGUMENTS[kind])}")
    sizes = [
        given.get(name, 1)
        for name in ("in_channels", "out_channels", "in_features", "out_features", "num_features")
    ]
    if prod(sizes) * prod(given.get("kernel_size", (1,)) if "groups" in given else (1,)) > (
        MOST_WEIGHTS
    ):
        raise ValueError(f"a layer of {kind.__name__} has more than {MOST_WEIGHTS:,} weights")
    return kind(**given)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

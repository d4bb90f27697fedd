"""A person's module and torch Dataset as a recipe: `qdeploy.train` is the trainer on it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.data.own.from_torch import from_torch
from qdeploy.errors import RecipeError
from qdeploy.observer import SILENT, Observer
from qdeploy.quant.layers import LayerFactory
from qdeploy.recipe.data import Data
from qdeploy.recipe.explain import explain
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.own_data import TorchData
from qdeploy.tracing.assemble import Assembly
from qdeploy.tracing.grids import plan_grids
from qdeploy.tracing.modules import AsSeries
from qdeploy.tracing.operations import INPUT, FloatGraph, Kind, Operation
from qdeploy.tracing.read import read_float
from qdeploy.tracing.record import record_of
from qdeploy.tracing.reorder import relu_before_pool, without_last
from qdeploy.tracing.tracer import own_copy
from qdeploy.training.kept_frames import keep_frames
from qdeploy.training.launch import SINGLE, Launch
from qdeploy.training.train import train

_OWNER = "dataset"
_EXAMPLES = 4


def train_module(
    module: nn.Module,
    dataset: object,
    recipe: Recipe,
    out: Path,
    *,
    task: Literal["classification", "regression"] = "classification",
    resume: bool = False,
    force: bool = False,
    launch: Launch = SINGLE,
    observer: Observer = SILENT,
) -> Path:
    """Train a module by a recipe, whose data set and network are replaced.

    Args:
        module: float; training starts from its weights, and leaves it alone.
        dataset: as `from_torch` takes it.
        recipe: its phases, bit widths and settings count.
        task: what labels are: classes, or numbers to predict.
        out, resume, force, launch, observer: as in `train`.

    Returns:
        The run folder. The run holds the network and some frames, so that it needs neither module
        nor data set again.

    Raises:
        UserError, RecipeError: the module does not take the data, or the recipe does not suit them.
        UnsupportedLayerError: it cannot be traced or quantized.
        DataError: the data set is none.
    """
    given = _settings(recipe, task)
    found = from_torch(dataset, given, _OWNER, observer)
    graph = _graph(module, found, _rank(dataset))
    floating = Assembly(
        graph,
        plan_grids(graph, signed_input=given.signed),
        LayerFactory(recipe.quantization, quantized=False, signed_input=given.signed),
        None,
    ).network()
    weights = floating.state_dict()
    whole = _recipe(recipe, given, graph, weights)
    train(
        whole,
        out,
        resume=resume,
        force=force,
        launch=launch,
        observer=observer,
        dataset=found,
        weights=weights,
    )
    if launch.is_first:
        keep_frames(out, found)
    return out


def _settings(recipe: Recipe, task: str) -> TorchData:
    """The recipe's section `data` for an object; what is about files of others does not count."""
    own = recipe.data
    common = set(Data.model_fields) - {"name", "image_size", "classes", "partial"}
    given = {key: getattr(own, key) for key in own.model_fields_set & common}
    if isinstance(own, TorchData):
        given = own.model_dump() | {"name": "torch"}
        given = {key: value for key, value in given.items() if key in TorchData.model_fields}
    given["bits"] = recipe.quantization.input_bits
    return TorchData.model_validate({"name": "torch", **given, "task": task})


def _rank(dataset: Any) -> int | None:
    """How many axes a sample has; None where it has no samples by index."""
    first = dataset
    while isinstance(first, tuple | list | dict):
        first = first["train"] if isinstance(first, dict) else first[0]
    try:
        sample = first[0][0]
    except (TypeError, KeyError, IndexError):
        return None
    return getattr(sample, "ndim", None)


def _graph(module: nn.Module, dataset: Dataset, rank: int | None) -> FloatGraph:
    """The module's operations for frames (C, H, W) of the data set."""
    count = min(_EXAMPLES, len(dataset.train))
    images = dataset.train.read(range(count))[0].float() / 256
    channels, height, width = dataset.shape
    if rank == 1:
        return _after(nn.Flatten(), dataset.shape, _read(module, images.flatten(1)))
    if rank == 2 and height == 1:
        frames = images.reshape(count, channels, width)
        return _after(AsSeries(), dataset.shape, _read(module, frames))
    return _read(module, images)


def _read(module: nn.Module, example: torch.Tensor) -> FloatGraph:
    """The operations in the order in which they are quantized, up to the logits."""
    return without_last(relu_before_pool(read_float(own_copy(module), example)))


def _after(view: nn.Module, shape: tuple[int, ...], graph: FloatGraph) -> FloatGraph:
    """The graph on frames of another shape."""
    name = "frame"
    first = replace(graph.operations[0], shape=shape)
    own = Operation(name, Kind.VIEW, (INPUT,), view, graph.input_shape, name, None)
    rest = (
        replace(one, inputs=tuple(name if each == INPUT else each for each in one.inputs))
        for one in graph.operations[1:]
    )
    return replace(graph, operations=(first, own, *rest))


def _recipe(
    recipe: Recipe, settings: TorchData, graph: FloatGraph, weights: dict[str, torch.Tensor]
) -> Recipe:
    network = {
        "type": "traced",
        "title": graph.kind,
        "operations": record_of(graph),
        "output": graph.output,
        "weights": _digest(weights),
    }
    values = {**recipe.model_dump(), "data": settings.model_dump(), "network": network}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        what, keys, do = explain(error.errors(include_url=False)[0], values)
        raise RecipeError(what, where=".".join(map(str, keys)) or None, do=do) from error


def _digest(weights: dict[str, torch.Tensor]) -> str:
    """Of the weights that training starts from: a run of other ones is another run."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(name.encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()

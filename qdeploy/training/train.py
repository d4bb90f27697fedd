"""Training a recipe: pretrain in float, retrain quantized from there, fine-tune."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qdeploy import provenance
from qdeploy.artifacts import write_json
from qdeploy.data.dataset import Dataset, free_bytes, place
from qdeploy.data.registry import data_spec, load_dataset
from qdeploy.errors import RecipeError
from qdeploy.networks.registry import build_network
from qdeploy.progress import say
from qdeploy.quant.short_scales import shorten_scales
from qdeploy.quant.starting_scales import start_from_float
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import epoch_generator, sample
from qdeploy.training.checkpoints import Checkpoint, CheckpointFolder, write_tensors
from qdeploy.training.evaluate import measure
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.prepare import Start, prepare
from qdeploy.training.run import CHECKPOINTS, MODEL, SUMMARY, read_metrics, recipe_digest
from qdeploy.training.state import restore_network

CALIBRATION_IMAGES = 1024
METRICS = ("accuracy", "train_accuracy", "miou", "train_miou")


def train(
    recipe: Recipe,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Path:
    """Train `recipe` into `run_dir`; the same recipe gives the same weights bit for bit on a CPU
    with the same number of threads, also when it was interrupted and resumed.

    Args:
        recipe: resolved.
        run_dir: the run folder; a finished run of the same recipe is left alone.
        data_dir: as in `load_dataset`.
        resume: go on with an unfinished run.
        force: replace an earlier run.

    Returns:
        `run_dir`.

    Raises:
        CheckpointError: when the folder holds another run, or no usable checkpoint.
        DataError: when the data set is missing or damaged.
        RecipeError: when the network decides for every pixel and the data set does not.
        TrainingError: when numbers are no longer finite.
    """
    _check_task(recipe)
    dataset = load_dataset(recipe.data, data_dir)
    device = torch.device("cpu")
    dataset = place(dataset, device, recipe.data.on_device, free_bytes(device))
    start, checkpoint = prepare(run_dir, recipe, resume=resume, force=force, say=say)
    if start is Start.FINISHED:
        say(f"{run_dir} holds the finished run of this very recipe: nothing to do")
        return run_dir
    with _deterministic(recipe.seed, recipe.training.threads):
        _train(recipe, run_dir, dataset, checkpoint)
    return run_dir


def _check_task(recipe: Recipe) -> None:
    pixels = data_spec(recipe.data).task == "segmentation"
    if recipe.network.type == "deeplab" and not pixels:
        raise RecipeError(
            f"a segmentation network cannot be trained on `{recipe.data.name}`",
            where="network.type: deeplab",
            why="it learns from a label for every pixel, and this data set has one for each image",
            do="choose another kind of network; a segmentation network trained elsewhere becomes "
            "hardware with `qdeploy export NETWORK.qonnx.onnx`",
        )
    if recipe.network.type != "deeplab" and pixels:
        raise RecipeError(
            f"a network of type `{recipe.network.type}` cannot be trained on `{recipe.data.name}`",
            where=f"network.type: {recipe.network.type}",
            why="the data set has a label for every pixel, and the network one for each image",
            do="choose network.type: deeplab, or another data set",
        )


def _train(recipe: Recipe, folder: Path, dataset: Dataset, checkpoint: Checkpoint | None) -> None:
    network = _channels_last(build_network(recipe, quantized=False))
    metrics: list[dict[str, Any]] = []
    first, done = 0, 0
    if checkpoint is not None:
        position = checkpoint.position
        first, done = position.phase, position.epoch
        metrics = [
            row
            for row in read_metrics(folder)
            if (row["phase_index"], row["epoch"]) <= (first, done)
        ]
        if recipe.phases[first].kind != "pretrain":
            network = _channels_last(build_network(recipe, quantized=True))
        restore_network(network, checkpoint.tensors)
        say(f"going on behind epoch {done} of phase {recipe.phases[first].name}")
    path = checkpoint.path if checkpoint is not None else None
    for index in range(first, len(recipe.phases)):
        phase = recipe.phases[index]
        begun = done if index == first else 0
        if phase.kind == "retrain" and begun == 0:
            network = _quantized(recipe, network, dataset)
        trainer = PhaseTrainer(recipe, index, network, dataset, folder, metrics, path)
        tensors = checkpoint.tensors if checkpoint is not None and begun else None
        trainer.run(begun, tensors)
        path = trainer.checkpoint
    shorten_scales(network)
    measured = measure(network, dataset, recipe)
    _finish(recipe, folder, network, metrics, measured)


def _quantized(recipe: Recipe, float_network: nn.Module, dataset: Dataset) -> nn.Module:
    """The quantized network with the float network's weights and scales that fit them."""
    network = _channels_last(build_network(recipe, quantized=True))
    generator = epoch_generator(recipe.seed, -1, 0)
    # Fewer where images are large: what counts is the number of activations.
    _, height, width = dataset.shape
    count = min(CALIBRATION_IMAGES, max(16, CALIBRATION_IMAGES * 4096 // (height * width)))
    images = sample(dataset.train, recipe, count, generator)
    start_from_float(network, float_network, images, recipe.quantization)
    return network


def _finish(
    recipe: Recipe,
    folder: Path,
    network: nn.Module,
    metrics: list[dict[str, Any]],
    measured: dict[str, float],
) -> None:
    """Write the model, then the summary that marks the run as finished.

    `measured` are the metrics of the network as it is written, which the last phase gets.
    """
    phases = []
    for index, phase in enumerate(recipe.phases):
        rows = [row for row in metrics if row["phase_index"] == index]
        phases.append(
            {
                "name": phase.name,
                "kind": phase.kind,
                "epochs": recipe.epochs_of(phase),
                **{name: rows[-1][name] for name in METRICS if name in rows[-1]},
                "loss": rows[-1]["loss"],
                "lipschitz": rows[-1]["lipschitz"],
                "seconds": sum(row["seconds"] for row in rows),
            }
        )
    phases[-1].update(measured)
    common = {"recipe_sha256": recipe_digest(recipe), "provenance": provenance.record()}
    write_tensors(folder / MODEL, network.state_dict(), {"name": recipe.name, **common})
    CheckpointFolder(folder / CHECKPOINTS).prune(0)
    write_json(
        folder / SUMMARY,
        {
            "name": recipe.name,
            "phases": phases,
            **measured,
            "seconds": sum(phase["seconds"] for phase in phases),
            **common,
        },
    )


def _channels_last(network: nn.Module) -> nn.Module:
    """Convolutions are 1.3 to 1.5 times as fast in this memory format."""
    moved: nn.Module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


@contextlib.contextmanager
def _deterministic(seed: int, threads: int | None) -> Iterator[None]:
    """Seeded random numbers, deterministic kernels, `threads`; all as it was afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(threads_before if threads is None else threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.set_num_threads(threads_before)

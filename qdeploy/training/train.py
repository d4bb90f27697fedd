"""Training a recipe: pretrain in float, quantize, retrain from there, fine-tune."""

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
from qdeploy.data.load import data_spec, load_dataset
from qdeploy.errors import RecipeError
from qdeploy.observer import Observer
from qdeploy.progress import meter, say
from qdeploy.quant.short_scales import shorten_scales
from qdeploy.recipe.models import QUANTIZED_FROM_FLOAT, WITHOUT_EPOCHS, Recipe
from qdeploy.recipe.networks import NETWORKS
from qdeploy.training.batches import check_shards
from qdeploy.training.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    Position,
    write_tensors,
    writing,
)
from qdeploy.training.evaluate import measure
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.prepare import Start, prepare
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.run import (
    CHECKPOINTS,
    MODEL,
    SUMMARY,
    read_metrics,
    recipe_digest,
    started_from,
    write_metrics,
)
from qdeploy.training.state import restore_network
from qdeploy.training.steps import run_step, sentence
from qdeploy.training.workers import Workers, joined

METRICS = ("accuracy", "train_accuracy", "miou", "train_miou")


def train(
    recipe: Recipe,
    run_dir: Path,
    data_dir: Path | None = None,
    resume: bool = False,
    force: bool = False,
    start_from: Path | None = None,
) -> Path:
    """Train `recipe` into `run_dir`; the same recipe gives the same weights bit for bit on a CPU
    with the same number of threads and processes, also when it was interrupted and resumed.

    Under `torchrun` every process calls this, and all train one network.

    Args:
        recipe: resolved.
        run_dir: the run folder; a finished run of the same recipe is left alone.
        data_dir: as in `load_dataset`.
        resume: go on with an unfinished run.
        force: replace an earlier run.
        start_from: the folder of a run with the same first phases, which are taken over from it.

    Returns:
        `run_dir`.

    Raises:
        CheckpointError: when the folder holds another run, or no usable checkpoint.
        DataError: when the data set is missing or damaged.
        RecipeError: when the network decides for every pixel and the data set does not.
        TrainingError: when numbers are no longer finite, or a process of several was lost.
    """
    _check_task(recipe)
    with joined(recipe.training) as workers:
        dataset = load_dataset(recipe.data, data_dir, Observer(note=say, meter=meter))
        check_shards(recipe, workers.world, len(dataset.train))
        free = free_bytes(workers.device)
        dataset = place(dataset, workers.device, recipe.data.on_device, free)
        start, checkpoint = workers.first_does(
            lambda: prepare(
                run_dir, recipe, resume=resume, force=force, start_from=start_from, say=say
            )
        )
        if start is Start.FINISHED:
            say(f"{run_dir} holds the finished run of this very recipe: nothing to do")
            return run_dir
        with _deterministic(recipe.seed, recipe.training.threads):
            _train(recipe, run_dir, dataset, checkpoint, workers)
    return run_dir


def _check_task(recipe: Recipe) -> None:
    pixels = data_spec(recipe.data).task == "segmentation"
    by_pixel = NETWORKS.load(recipe.network.type).task == "segmentation"
    if by_pixel and not pixels:
        raise RecipeError(
            f"a segmentation network cannot be trained on `{recipe.data.name}`",
            where="network.type: deeplab",
            why="it learns from a label for every pixel, and this data set has one for each image",
            do="choose another kind of network; a segmentation network trained elsewhere becomes "
            "hardware with `qdeploy export NETWORK.qonnx.onnx`",
        )
    if not by_pixel and pixels:
        raise RecipeError(
            f"a network of type `{recipe.network.type}` cannot be trained on `{recipe.data.name}`",
            where=f"network.type: {recipe.network.type}",
            why="the data set has a label for every pixel, and the network one for each image",
            do="choose network.type: deeplab, or another data set",
        )


def _train(
    recipe: Recipe,
    folder: Path,
    dataset: Dataset,
    checkpoint: Checkpoint | None,
    workers: Workers,
) -> None:
    network = floating = trainable(recipe, quantized=False)
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
            network = trainable(recipe, quantized=True)
            _restore_float(recipe, folder, first, floating, workers)
        restore_network(network, checkpoint.tensors)
        say(f"going on behind epoch {done} of phase {recipe.phases[first].name}")
        _note_other_sums(checkpoint, workers)
    network = workers.ready(network)
    path = checkpoint.path if checkpoint is not None else None
    for index in range(first, len(recipe.phases)):
        phase = recipe.phases[index]
        begun = done if index == first else 0
        if phase.kind in QUANTIZED_FROM_FLOAT and begun == 0:
            network = workers.ready(quantized_from(recipe, floating, dataset))
        if phase.kind in WITHOUT_EPOCHS:
            metrics.append(run_step(recipe, index, network, dataset, workers))
            if workers.is_first:
                write_metrics(folder, metrics)
            say(sentence(metrics[-1]))
            continue
        trainer = PhaseTrainer(recipe, index, network, dataset, folder, metrics, path, workers)
        tensors = checkpoint.tensors if checkpoint is not None and begun else None
        trainer.run(begun, tensors)
        path = trainer.checkpoint
    shorten_scales(network)
    measured = measure(network, dataset, recipe, workers)
    if workers.is_first:
        _finish(recipe, folder, network, metrics, measured)


def _note_other_sums(checkpoint: Checkpoint, workers: Workers) -> None:
    before = (checkpoint.sidecar.get("processes"), checkpoint.sidecar.get("threads"))
    now = (workers.world, torch.get_num_threads())
    if before != now:
        say(
            f"note: before, there were {before[0]} processes of {before[1]} threads, now {now[0]} "
            f"of {now[1]}: sums round differently, weights will not be equal bit for bit"
        )


def _restore_float(
    recipe: Recipe, folder: Path, index: int, floating: nn.Module, workers: Workers
) -> None:
    """Load the float network, when a phase behind phase `index` starts from it again."""
    if not any(phase.kind in QUANTIZED_FROM_FLOAT for phase in recipe.phases[index + 1 :]):
        return
    last = max(i for i, phase in enumerate(recipe.phases) if phase.kind == "pretrain")
    end = Position(last, recipe.epochs_of(recipe.phases[last]))
    checkpoints = CheckpointFolder(folder / CHECKPOINTS)
    kept = workers.first_does(lambda: checkpoints.at(end, recipe_digest(recipe)))
    restore_network(floating, kept.tensors)


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
    with writing(folder / SUMMARY):
        write_json(
            folder / SUMMARY,
            {
                "name": recipe.name,
                "phases": phases,
                **measured,
                "seconds": sum(phase["seconds"] for phase in phases),
                **started_from(folder),
                **common,
            },
        )


@contextlib.contextmanager
def _deterministic(seed: int, threads: int | None) -> Iterator[None]:
    """Seeded random numbers, deterministic kernels in full float32, `threads`; all as it was
    afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    # On a GPU torch lets convolutions round to TF32's 11 bits unless told otherwise.
    tf32_before = torch.backends.cudnn.allow_tf32
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.allow_tf32 = False
        torch.set_num_threads(threads_before if threads is None else threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.backends.cudnn.allow_tf32 = tf32_before
            torch.set_num_threads(threads_before)

"""Training a recipe: pretrain in float, quantize, retrain from there, fine-tune."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.utils.deterministic
from torch import nn

from qdeploy import provenance
from qdeploy.artifacts import write_json
from qdeploy.data.dataset import Dataset, free_bytes, place
from qdeploy.data.holdout import with_validation
from qdeploy.data.load import data_spec, load_dataset
from qdeploy.data.own.facts import with_facts
from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.figures import FIGURES, shown
from qdeploy.networks.fewer_channels import layer_channels
from qdeploy.observer import SILENT, Observer
from qdeploy.quant import native
from qdeploy.quant.quantizers import fix_weight_steps
from qdeploy.quant.short_scales import SIGNIFICANT_BITS, shorten_scales
from qdeploy.recipe.data import Data
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.networks import NETWORKS
from qdeploy.recipe.order import QUANTIZED_FROM_FLOAT, WITHOUT_EPOCHS
from qdeploy.training.allocator import freed_memory_kept
from qdeploy.training.batches import Batching, check_shards
from qdeploy.training.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    write_tensors,
    writing,
)
from qdeploy.training.details import detailed
from qdeploy.training.evaluate import measure
from qdeploy.training.journal import Journal
from qdeploy.training.launch import SINGLE, Launch
from qdeploy.training.logs import check_logs
from qdeploy.training.methods.fewer_bits import check_bits, recipe_during, with_fewer_bits
from qdeploy.training.methods.of_phase import phase_methods
from qdeploy.training.methods.teacher import Teacher, find_teachers, uses_own_float
from qdeploy.training.metrics import METRICS, phase_summaries, read_metrics
from qdeploy.training.objective import Score
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.phase_without_epochs import run_without_epochs
from qdeploy.training.prepare import Start, prepare
from qdeploy.training.protocol import PROTOCOL, protocol
from qdeploy.training.pruned import check_network, without_closed_channels
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.restored import restored, restored_float
from qdeploy.training.run import (
    CHECKPOINTS,
    MODEL,
    SUMMARY,
    digests,
    is_finished,
    locked_run,
    recipe_digest,
    started_from,
    trained_with,
)
from qdeploy.training.workers import Workers, joined

# Key of summary.json in the run of a recipe that prunes: layer -> its inputs and outputs.
CHANNELS = "channels"
# Whether memory is filled with not-a-number before it is written: tests find with it what reads too
# early.
FILL_MEMORY = False


def train(
    recipe: Recipe,
    out: Path,
    data_dir: Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    warm_start: Path | None = None,
    launch: Launch = SINGLE,
    observer: Observer = SILENT,
    dataset: Dataset | None = None,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Path:
    """Train `recipe` into the run folder `out`.

    The same recipe gives the same weights bit for bit on a CPU with the same number of threads and
    processes, also when it was interrupted and resumed. Of several processes, such as those that
    `torchrun` starts, each calls this with its own `launch`, and all train one network.

    Args:
        recipe: resolved.
        out: the run folder; a finished run of the same recipe is left alone.
        data_dir: as in `load_dataset`.
        resume: go on with an unfinished run.
        force: replace an earlier run.
        warm_start: the folder of a run with the same first phases, which are taken over from it.
        launch: which of several processes this one is.
        observer: gets notes, progress, and warnings of other packages; only in the first process.
        dataset: the recipe's, where it is in memory; loaded when None.
        weights: state of the float network that training starts from; drawn by the recipe's seed
            when None.

    Returns:
        `out`.

    Raises:
        CheckpointError: when the folder holds another run, or no usable checkpoint.
        LockedError: when another process writes the folder.
        DataError: when the data set is missing or damaged.
        RecipeError: when bits go up, the network cannot be pruned as wanted, a teacher is of
            another task, the network decides for every pixel and the data set does not, a batch
            cannot be shared, or a log needs a package that is not installed.
        TrainingError: when numbers are no longer finite, or a process of several was lost.
    """
    recipe = with_facts(recipe, data_dir, dataset=dataset)
    _check_task(recipe.data, recipe.network.type)
    settings = recipe.training
    check_logs(settings.logs)
    check_bits(recipe)
    check_network(recipe)
    digest = recipe_digest(recipe)
    observer = observer if launch.is_first else SILENT
    with (
        observer.warnings(),
        joined(launch, settings.device, settings.worker_timeout) as workers,
        contextlib.ExitStack() as held,
    ):
        workers.first_does(lambda: held.enter_context(locked_run(out, "train", observer.note)))
        dataset = dataset or load_dataset(recipe.data, data_dir, observer)
        dataset = with_validation(dataset, recipe.data.validation, recipe.seed)
        for phase in recipe.phases:
            batching = Batching.of(recipe).during(phase)
            check_shards(batching, workers.world, len(dataset.train))
        teachers = workers.first_does(
            lambda: {} if not force and is_finished(out, digest) else find_teachers(recipe)
        )
        free = free_bytes(workers.device)
        dataset = place(dataset, workers.device, recipe.data.on_device, free)
        start, checkpoint = workers.first_does(
            lambda: prepare(
                out,
                recipe,
                digest,
                resume=resume,
                force=force,
                warm_start=warm_start,
                note=observer.note,
            )
        )
        if start is Start.FINISHED:
            observer.note(f"{out} holds the finished run of this recipe: nothing to do")
            return out
        _note_slow_steps(workers, observer)
        journal = Journal(out, digest, workers.world, workers.is_first, logs=settings.logs)
        held.callback(journal.close)
        with freed_memory_kept(), deterministic(recipe.seed, settings.threads):
            _train(recipe, dataset, checkpoint, journal, workers, observer, teachers, weights)
    return out


def _check_task(data: Data, network_type: str) -> None:
    pixels = data_spec(data).task == "segmentation"
    by_pixel = NETWORKS.load(network_type).task == "segmentation"
    if by_pixel and not pixels:
        raise RecipeError(
            f"a segmentation network cannot be trained on `{data.name}`",
            where=f"network.type: {network_type}",
            why="it learns from a label per pixel, and this data set has one per image",
            do="choose another kind of network; a segmentation network trained elsewhere becomes "
            "hardware with `qdeploy export NETWORK.qonnx.onnx`",
        )
    if not by_pixel and pixels:
        raise RecipeError(
            f"a network of type `{network_type}` cannot be trained on `{data.name}`",
            where=f"network.type: {network_type}",
            why="the data set has a label per pixel, and the network gives one per image",
            do="choose network.type: deeplab, or another data set",
        )


def _train(
    recipe: Recipe,
    dataset: Dataset,
    checkpoint: Checkpoint | None,
    journal: Journal,
    workers: Workers,
    observer: Observer,
    teachers: Mapping[str, Teacher],
    weights: Mapping[str, torch.Tensor] | None,
) -> None:
    first, done = 0, 0
    if checkpoint is None:
        network = floating = trainable(recipe, quantized=False)
        if weights is not None:
            network.load_state_dict(weights)
    else:
        position = checkpoint.position
        first, done = position.phase, position.epoch
        journal.newest = checkpoint.path
        journal.rows += [row for row in read_metrics(journal.folder) if row.position <= position]
        quantized = recipe.phases[first].kind != "pretrain"
        during = recipe_during(recipe, first)
        network = floating = restored(during, checkpoint.tensors, quantized=quantized)
        rest = recipe.phases[first:]
        if quantized and (
            any(phase.kind in QUANTIZED_FROM_FLOAT for phase in rest[1:])
            or any(map(uses_own_float, rest))
        ):
            floating = _restored_float(recipe, journal, workers)
        observer.note(f"going on after epoch {done} of phase {recipe.phases[first].name}")
        _note_other_sums(checkpoint, workers, observer)
    network = workers.ready(network)
    batching = Batching.of(recipe)
    for index in range(first, len(recipe.phases)):
        phase = recipe.phases[index]
        begun = done if index == first else 0
        during = recipe_during(recipe, index)
        if phase.kind in QUANTIZED_FROM_FLOAT and begun == 0:
            network = workers.ready(quantized_from(during, floating, dataset))
        elif begun == 0 and index > 0 and recipe.bits_of(index) != recipe.bits_of(index - 1):
            network = workers.ready(with_fewer_bits(during, network, dataset))
        if phase.kind in WITHOUT_EPOCHS:
            row = run_without_epochs(phase, index, network, dataset, batching, workers)
            journal.add(row)
            observer.note(row.sentence())
            continue
        if recipe.quantization.weight_step == "fixed":
            # Here and not when the network is built: loading a state rebuilds the scales.
            fix_weight_steps(network)
        trainer = PhaseTrainer(
            phase,
            index,
            recipe.epochs_of(phase),
            network,
            dataset,
            batching,
            recipe.training.precision,
            journal,
            workers,
            observer,
            phase_methods(recipe, index, network, dataset, workers, floating, teachers),
            # Gates are trained until the end.
            recipe.training.keep if phase.pruning is None else "last",
        )
        trainer.run(checkpoint if begun else None)
        if phase.pruning is not None:
            quantized = phase.kind != "pretrain"
            narrow = without_closed_channels(
                during, phase.pruning, network, quantized=quantized, note=observer.note
            )
            network = workers.ready(narrow)
            floating = floating if quantized else network
    shorten_scales(network)
    score = measure(network, dataset, batching, workers)
    details = detailed(network, dataset, batching, workers)
    if workers.is_first:
        _note_other_figures(journal, score, observer)
        said = {PROTOCOL: protocol(dataset, recipe.training.keep), **details}
        if recipe.prunes:
            said[CHANNELS] = layer_channels(network)
        _finish(recipe.name, network, journal, score, said)


def _note_other_figures(journal: Journal, score: Score, observer: Observer) -> None:
    """Say why the summary has other figures than the last line of the training."""
    last = journal.rows[-1].figures() if journal.rows else {}
    now = score.to_json()
    other = [
        name for name in now if name in last and shown(name, now[name]) != shown(name, last[name])
    ]
    if other:
        told = ", ".join(
            f"{FIGURES[name]} {shown(name, now[name])}, before {shown(name, last[name])}"
            for name in other
        )
        observer.note(
            f"the summary has the network as it is written, its activation scales rounded to "
            f"{SIGNIFICANT_BITS} bits, which integers need: {told}"
        )


def _note_slow_steps(workers: Workers, observer: Observer) -> None:
    why = native.missing() if workers.device.type == "cpu" else None
    if why is not None:
        observer.note(
            f"note: {why}: quantizers run in torch's operations, with the same values and slower"
        )


def _note_other_sums(checkpoint: Checkpoint, workers: Workers, observer: Observer) -> None:
    before = (checkpoint.sidecar.get("processes"), checkpoint.sidecar.get("threads"))
    now = (workers.world, torch.get_num_threads())
    if before != now:
        observer.note(
            f"note: so far, {before[0]} processes with {before[1]} threads each, now {now[0]} with "
            f"{now[1]}: sums round differently, so weights will not be equal bit for bit"
        )


def _restored_float(recipe: Recipe, journal: Journal, workers: Workers) -> nn.Module:
    """The float network, which a later phase starts from again."""
    last = max(i for i, phase in enumerate(recipe.phases) if phase.kind == "pretrain")
    checkpoints = CheckpointFolder(journal.folder / CHECKPOINTS)
    kept = workers.first_does(lambda: checkpoints.end_of(last, journal.digest))
    return restored_float(recipe, kept.tensors)


def _finish(
    name: str, network: nn.Module, journal: Journal, score: Score, said: dict[str, Any]
) -> None:
    """Write the model, then the summary that marks the run as finished.

    `score` is that of the network as it is written, which the last phase gets; `said` is what else
    the summary says of the training.
    """
    folder, measured = journal.folder, score.to_json()
    phases = phase_summaries(journal.rows)
    if not phases:
        raise CheckpointError(
            f"`{METRICS}` of the run cannot be read, and no epoch is left to measure",
            where=str(folder / METRICS),
            do="use --force to start this run over",
        )
    phases[-1].update(measured)
    common = {"recipe_sha256": journal.digest, "provenance": provenance.record()}
    write_tensors(folder / MODEL, network.state_dict(), {"name": name, **common})
    CheckpointFolder(folder / CHECKPOINTS).prune(0)
    with writing(folder / SUMMARY):
        write_json(
            folder / SUMMARY,
            {
                "name": name,
                "phases": phases,
                **measured,
                **said,
                "seconds": sum(phase["seconds"] for phase in phases),
                **started_from(folder),
                **trained_with(folder),
                **digests(folder),
                **common,
            },
            durable=True,
        )


@contextlib.contextmanager
def deterministic(seed: int, threads: int | None) -> Iterator[None]:
    """Seeded random numbers, deterministic kernels in full float32, and `threads` threads;
    everything is restored afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    # On a GPU torch lets convolutions round to TF32's 11 bits unless told otherwise.
    tf32_before = torch.backends.cudnn.allow_tf32
    # Fresh memory that is filled with not-a-number costs a tenth of a step.
    memory: Any = torch.utils.deterministic
    fill_before = memory.fill_uninitialized_memory
    threads_before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = FILL_MEMORY
        torch.backends.cudnn.allow_tf32 = False
        torch.set_num_threads(threads_before if threads is None else threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            memory.fill_uninitialized_memory = fill_before
            torch.backends.cudnn.allow_tf32 = tf32_before
            torch.set_num_threads(threads_before)

"""A trained run becomes another one: its float network, quantized without training.

The new folder is a run folder as `qdeploy train` leaves it, with a recipe whose phases after the
float ones are one of kind `direct`; summary.json says under `post_training` how it was made.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qdeploy import provenance
from qdeploy.artifacts import write_json
from qdeploy.data.dataset import Dataset
from qdeploy.data.load import load_dataset
from qdeploy.errors import CheckpointError, UserError
from qdeploy.networks.fewer_channels import weight_shapes
from qdeploy.observer import SILENT, Observer
from qdeploy.ptq.calibrate import calibrate, deterministic
from qdeploy.ptq.comparison import Comparison, compare
from qdeploy.ptq.equalize import equalized
from qdeploy.ptq.options import PostTraining
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.own_data import TorchData
from qdeploy.training.batches import Batching, epoch_generator, evaluation_batches, sample
from qdeploy.training.checkpoints import write_tensors, writing
from qdeploy.training.float_network import load_float
from qdeploy.training.kept_frames import FILE as FRAMES
from qdeploy.training.kept_frames import kept_dataset
from qdeploy.training.objective import tally
from qdeploy.training.prepare import Start, prepare
from qdeploy.training.protocol import PROTOCOL, protocol
from qdeploy.training.quantize import trainable
from qdeploy.training.run import MODEL, SUMMARY, digests, locked_run, read_summary, recipe_digest

POST_TRAINING = "post_training"
PHASE = "post-training"
BATCH = 64


def quantize_run(
    folder: Path,
    out: Path,
    options: PostTraining,
    data_dir: Path | None = None,
    *,
    force: bool = False,
    observer: Observer = SILENT,
) -> Comparison:
    """Quantize the float network of a run and write it as a run.

    Args:
        folder: of the run; its float training is finished.
        out: the new run folder, which `qdeploy export` takes.
        options: bits and methods.
        data_dir: as in `load_dataset`; calibration frames come from the training set.
        force: replace a run in `out`.
        observer: gets notes and progress.

    Returns:
        Float and quantized network on the test set.

    Raises:
        CheckpointError: the run has no float network, or `out` holds something.
        UserError: the run's network cannot be equalized.
        DataError: the data set is missing or damaged.
    """
    if out.resolve() == folder.resolve():
        raise UserError("a run cannot be written over itself", where=str(out), do="choose --out")
    recipe, floating = load_float(folder)
    wanted = recipe_of_twin(recipe, options)
    _note_lost_layers(recipe, observer)
    kept = recipe.data if isinstance(recipe.data, TorchData) else None
    if kept is None:
        dataset = load_dataset(recipe.data, data_dir, observer)
    else:
        dataset = kept_dataset(folder, kept)
    threads = torch.get_num_threads()
    with observer.warnings(), locked_run(out, "quantize", observer.note):
        if prepare_folder(out, wanted, force, observer) is Start.FINISHED:
            observer.note(f"{out} holds exactly this network: it is written again")
        torch.set_num_threads(recipe.training.threads or threads)
        try:
            twin, found = _quantized(wanted, floating, dataset, options, observer)
        finally:
            torch.set_num_threads(threads)
        if kept is not None:
            shutil.copyfile(folder / FRAMES, out / FRAMES)
        _write(out, wanted, twin, found, options, dataset, folder)
    return found


def recipe_of_twin(recipe: Recipe, options: PostTraining) -> Recipe:
    """The recipe of the quantized network: `recipe` up to its float training, other bits."""
    values = recipe.model_dump(mode="json")
    values["quantization"] |= {
        "weight_bits": options.weight_bits,
        "activation_bits": options.activation_bits,
        "residual_bits": options.residual_bits,
        "first_layer_bits": options.end_bits,
        "last_layer_bits": options.end_bits,
        "layers": {},
        "scale": "power_of_two" if options.power_of_two else "float",
        "weight_scaling": "per_channel" if options.per_channel else "per_layer",
        "weight_levels": "symmetric",
        "weight_init": "mse",
        "weight_step": "fixed",
        "weight_gradient_scaling": 0.0,
        "activation_thresholds": "uniform",
        "weight_normalization": "none",
    }
    last = max(i for i, phase in enumerate(recipe.phases) if phase.kind == "pretrain")
    values["phases"] = [*values["phases"][: last + 1], {"name": PHASE, "kind": "direct"}]
    bits = f"w{options.weight_bits}a{options.activation_bits}"
    rule = "" if options.steps == "mse" else f"-{options.percentile:g}"
    words = [bits + rule, *options.to_json()["methods"]]
    values["name"] = f"{recipe.name}+ptq={'-'.join(words)}"
    return Recipe.model_validate(values)


def prepare_folder(out: Path, recipe: Recipe, force: bool, observer: Observer) -> Start:
    """Make `out` ready for a run of `recipe`."""
    try:
        start, _ = prepare(
            out, recipe, recipe_digest(recipe), resume=False, force=force, note=observer.note
        )
    except CheckpointError as error:
        raise CheckpointError(
            error.what,
            where=error.where,
            why=error.why,
            do="choose another folder with --out, or replace that run with --force",
        ) from error
    return start


def _quantized(
    recipe: Recipe,
    floating: nn.Module,
    dataset: Dataset,
    options: PostTraining,
    observer: Observer,
) -> tuple[nn.Module, Comparison]:
    bits = recipe.quantization.input_bits
    generator = epoch_generator(options.seed, -1, 0)
    images, _ = sample(dataset.train, bits, options.images, generator)
    batches = list(images.split(BATCH))
    with deterministic(options.seed):
        source = floating
        if "equalize" in options.methods:
            source = equalized(floating, batches)
        twin = trainable(recipe, quantized=True, shapes=weight_shapes(source.state_dict()))
        twin.load_state_dict(twin.state_dict() | source.state_dict())
        calibrate(twin, batches, options, observer)
        inputs = evaluation_batches(dataset, Batching.of(recipe))
        found = compare(floating, twin, inputs, (tally(dataset), tally(dataset)))
    return twin, found


def _note_lost_layers(recipe: Recipe, observer: Observer) -> None:
    if recipe.quantization.layers:
        observer.note(
            "note: quantization.layers of the run's recipe is left out: all inner layers get the "
            "bits that are asked for"
        )


def _write(
    out: Path,
    recipe: Recipe,
    network: nn.Module,
    found: Comparison,
    options: PostTraining,
    dataset: Dataset,
    source: Path,
) -> None:
    """Model first, then the summary, which marks the run as finished."""
    assert found.before is not None and found.after is not None
    common = {"recipe_sha256": recipe_digest(recipe), "provenance": provenance.record()}
    write_tensors(out / MODEL, network.state_dict(), {"name": recipe.name, **common})
    before = read_summary(source) or {}
    kept = [row for row in before.get("phases", []) if row.get("kind") == "pretrain"]
    score = found.after.to_json()
    row: dict[str, Any] = {"name": PHASE, "kind": "direct", "epochs": 0, "seconds": 0.0, **score}
    with writing(out / SUMMARY):
        write_json(
            out / SUMMARY,
            {
                "name": recipe.name,
                "phases": [*kept, row],
                **score,
                PROTOCOL: before.get(PROTOCOL) or protocol(dataset, recipe.training.keep),
                POST_TRAINING: {
                    **options.to_json(),
                    "images": min(options.images, len(dataset.train)),
                    **found.to_json(),
                    "run": str(source.resolve()),
                },
                "seconds": sum(one.get("seconds", 0.0) for one in kept),
                **digests(out),
                **common,
            },
            durable=True,
        )

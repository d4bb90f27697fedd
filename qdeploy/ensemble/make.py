"""From trained runs to an ensemble: checked, its grid chosen, measured, written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qdeploy import provenance
from qdeploy.artifacts import atomic_folder, write_json
from qdeploy.data.dataset import Dataset
from qdeploy.data.holdout import divided, held_out
from qdeploy.ensemble.compose import check_outputs, compose, gains_of, integers_of
from qdeploy.ensemble.folder import TrainedEnsemble, Vote, is_ensemble, load_ensemble, write_members
from qdeploy.ensemble.members import read_members
from qdeploy.ensemble.vote import WIDTHS, Grid, ambiguous, choose_grid, factors
from qdeploy.errors import InternalError, UserError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.training.batches import Batching
from qdeploy.training.evaluate import measure
from qdeploy.training.quantize import calibration_images
from qdeploy.training.run import FILES, SUMMARY, Run

# Fewer images that no member was trained on say nothing: of a hundred, each is a percent.
FEWEST_VALIDATED = 100


def make_ensemble(
    folders: Sequence[Path],
    out: Path,
    data_dir: Path | None = None,
    *,
    name: str | None = None,
    bits: int | None = None,
    force: bool = False,
    observer: Observer = SILENT,
) -> TrainedEnsemble:
    """Make one network of the runs in `folders` and write it to the folder `out`.

    Args:
        folders: of 2 to 4 finished runs.
        data_dir: as in `load_dataset`.
        name: of the ensemble; by default that of `out`.
        bits: of a member's vote, 3 to 8; by default the fewest that name the class that the exact
            sum of the logits names, on nearly all calibration images.
        force: replace an ensemble that is in `out`.
        observer: gets notes and progress.

    Raises:
        UserError: runs that do not go together (`read_members`), `bits` out of range, or something
            else in `out`.
        CheckpointError: a run that is not finished, or damaged.
        DataError: the data set is missing or damaged.
    """
    if bits is not None and bits not in WIDTHS:
        raise UserError(
            f"votes of {bits} bits",
            expected=f"{WIDTHS[0]} to {WIDTHS[-1]} bits",
            why="fewer bits have too few codes to tell classes apart; thresholds have up to 8",
            do="choose another --bits, or leave it out",
        )
    _check_out(out, force)
    with observer.warnings(), torch.no_grad():
        runs = read_members(folders, observer.note)
        networks = [run.network for run in runs]
        graphs = [integers_of(run.network, str(run.folder)) for run in runs]
        check_outputs([run.folder for run in runs], graphs)
        dataset = _divided(runs, runs[0].dataset(data_dir, observer))
        images, _ = calibration_images(dataset, runs[0].recipe.seed, runs[0].input_bits)
        images = ambiguous(images, runs[0].input_bits)
        even = all(run.recipe.quantization.scale == "power_of_two" for run in runs)
        vote, grid = vote_of(networks, graphs, images, bits, power_of_two=even)
        network = compose(networks, vote.factors, vote.bits, vote.step, vote.rank)
        batching = Batching.of(runs[0].recipe)
        observer.note(
            f"votes of {grid.bits} bits name the class that exact sums name on "
            f"{grid.agreement:.1%} of {len(images):,} mixed training images"
        )
        score = measure(network, dataset, batching).to_json()
        validated = [
            measure(one, dataset, batching, split=dataset.validation).to_json()
            for one in (*networks, network)
            if dataset.validation is not None
        ]
        with atomic_folder(out, durable=True) as work:
            digests = write_members(work, name or out.resolve().name, runs, vote)
            write_json(
                work / SUMMARY,
                {
                    "name": name or out.resolve().name,
                    "kind": "ensemble",
                    "phases": _phases(runs, score, validated),
                    **score,
                    "members": [_member(run) for run in runs],
                    "vote": _said(grid, len(images)),
                    "images": {key: len(split) for key, split in dataset.splits.items()},
                    FILES: digests,
                    "provenance": provenance.record(),
                },
            )
    made = load_ensemble(out)
    if made.files != digests:
        raise InternalError(f"the ensemble in `{out}` is not the one that was written")
    return made


def vote_of(
    networks: Sequence[nn.Module],
    graphs: Sequence[IntegerGraph],
    images: torch.Tensor,
    bits: int | None = None,
    *,
    power_of_two: bool = False,
) -> tuple[Vote, Grid]:
    """What networks with these integer graphs vote with, chosen on `images`, (N, C, H, W); `bits`
    and `power_of_two` as in `choose_grid`."""
    with torch.no_grad():
        logits = [network(images) for network in networks]
    grid = choose_grid(logits, bits, power_of_two=power_of_two)
    found = [factors(gains_of(graph), grid.step) for graph in graphs]
    return Vote(grid.bits, grid.step, found, logits[0].dim()), grid


def _check_out(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not is_ensemble(out):
        raise UserError(
            f"`{out}` exists and is not an ensemble",
            why="an ensemble replaces the whole folder",
            do="give another folder with --out, or remove it yourself",
        )
    if not force:
        raise UserError(
            f"`{out}` holds an ensemble",
            do="give another folder with --out, or replace it with --force",
        )


def _divided(runs: Sequence[Run], dataset: Dataset) -> Dataset:
    """The data set with the images that the first member was trained on, and as validation split
    those that no member was trained on, where there are enough."""
    held = [held_out(dataset, run.recipe.data.validation, run.recipe.seed) for run in runs]
    common = torch.stack(held).all(0)
    if int(common.sum()) < FEWEST_VALIDATED:
        common = torch.zeros_like(common)
    return divided(dataset, ~held[0], common)


def _phases(
    runs: Sequence[Run], score: dict[str, float], validated: Sequence[dict[str, float]]
) -> list[dict[str, Any]]:
    """A row for each member and, last, for the vote."""
    names = [f"member {index + 1}" for index in range(len(runs))]
    rows: list[dict[str, Any]] = [
        {"name": one, "kind": "member", **_score(run)} for one, run in zip(names, runs, strict=True)
    ]
    rows.append({"name": "vote", "kind": "vote", **score})
    for row, values in zip(rows, validated, strict=False):
        row |= {f"validation_{key}": value for key, value in values.items()}
    return rows


def _score(run: Run) -> dict[str, Any]:
    """The metrics that the run's training ended with."""
    return {key: run.summary[key] for key in ("accuracy", "miou") if key in run.summary}


def _member(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.folder.resolve()),
        "name": run.name,
        "seed": run.recipe.seed,
        **_score(run),
        "recipe_sha256": run.recipe_sha256,
        FILES: run.files,
        "provenance": run.summary.get("provenance"),
    }


def _said(grid: Grid, images: int) -> dict[str, Any]:
    return {
        "bits": grid.bits,
        "step": grid.step,
        "calibration_images": images,
        "agreement": grid.agreement,
    }

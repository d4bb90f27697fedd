"""Many seeds of one recipe at once, each into its own run folder.

The run folders are those of `training.train`: the same checkpoints at the ends of phases, with rows
of every epoch. What is left when the last phase with epochs is over, `train` does for each, as for
a run that was interrupted there. So whatever ends a group, each training can go on by itself.

A group that was ended goes on from the newest checkpoint that all of its trainings have; those that
lack it, and those that are further than their last epoch, are left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from qdeploy.artifacts import write_json
from qdeploy.data.dataset import Dataset, MemorySplit
from qdeploy.data.load import load_dataset
from qdeploy.data.own.facts import with_facts
from qdeploy.errors import CheckpointError
from qdeploy.observer import SILENT, Observer
from qdeploy.quant import native
from qdeploy.quant.quantizers import fix_weight_steps
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.order import QUANTIZED_FROM_FLOAT, WITHOUT_EPOCHS
from qdeploy.training.allocator import freed_memory_kept
from qdeploy.training.batches import Batching
from qdeploy.training.checkpoints import Checkpoint, CheckpointFolder, Position, writing
from qdeploy.training.group.eligible import why_alone
from qdeploy.training.group.phase import GroupPhase, NotFiniteError
from qdeploy.training.journal import Journal
from qdeploy.training.metrics import read_metrics
from qdeploy.training.phase_without_epochs import run_without_epochs
from qdeploy.training.prepare import Start, prepare
from qdeploy.training.quantize import quantized_from, trainable
from qdeploy.training.restored import restored, restored_float
from qdeploy.training.run import CHECKPOINTS, GROUP, locked_run, recipe_digest
from qdeploy.training.train import deterministic

_START = Position(-1, 0)


@dataclass
class _Member:
    """One training of the group.

    Args:
        at: where the group begins, None at the start.
    """

    recipe: Recipe
    folder: Path
    digest: str
    newest: Checkpoint | None
    at: Checkpoint | None = None

    @property
    def position(self) -> Position:
        return _START if self.newest is None else self.newest.position


def train_group(
    recipes: Mapping[Path, Recipe],
    data_dir: Path | None = None,
    *,
    warm_starts: Mapping[Path, Path] | None = None,
    observer: Observer = SILENT,
) -> str | None:
    """Train recipes that differ in the seed alone, up to their last phase with epochs.

    Weights are those of trainings one by one, apart from how sums round. `train` with `resume` then
    finishes each folder.

    Args:
        recipes: run folder -> recipe; `group_key` of all is the same.
        data_dir: as in `load_dataset`.
        warm_starts: run folder -> the one whose first phases it takes over.

    Returns:
        Why nothing, or not everything, was trained together, in a clause; None where it was.

    Raises:
        CheckpointError: a folder holds another run, or cannot be written.
        DataError, LockedError: as `train`.
    """
    first = with_facts(next(iter(recipes.values())), data_dir)
    why = why_alone(first) or native.missing()
    if why is not None:
        return why
    last = max(i for i, phase in enumerate(first.phases) if phase.kind not in WITHOUT_EPOCHS)
    with observer.warnings(), contextlib.ExitStack() as held:
        for folder in recipes:
            held.enter_context(locked_run(folder, "train", observer.note))
        dataset = load_dataset(first.data, data_dir, observer)
        if not isinstance(dataset.train, MemorySplit) or dataset.validation is not None:
            return "the data set is not in memory, or has a validation set"
        members = []
        for folder, given in recipes.items():
            recipe = with_facts(given, data_dir)
            digest = recipe_digest(recipe)
            source = (warm_starts or {}).get(folder)
            start, newest = prepare(
                folder, recipe, digest, resume=True, force=False, warm_start=source
            )
            if start is not Start.FINISHED and not _is_over(newest, last):
                members.append(_Member(recipe, folder, digest, newest))
        members = _together(members)
        if not members:
            return None
        journals = [_journal(one, held) for one in members]
        _record(members)
        try:
            with freed_memory_kept(), deterministic(first.seed, first.training.threads):
                _train(members, journals, dataset, last, observer)
        except NotFiniteError:
            return "a number of one of the trainings is no longer finite"
    return None


def _is_over(newest: Checkpoint | None, last: int) -> bool:
    if newest is None:
        return False
    return newest.position.phase > last or (newest.position.phase == last and newest.ends_phase)


def _together(members: Sequence[_Member]) -> list[_Member]:
    """Those that can begin where the one that is least far begins."""
    where = min((one.position for one in members), default=_START)
    found = []
    for one in members:
        if where != _START:
            folder = CheckpointFolder(one.folder / CHECKPOINTS)
            path = folder.folder / f"{where.stem()}.safetensors"
            try:
                one.at = folder.read(path, one.digest)
            except CheckpointError:
                continue
        found.append(one)
    return found


def _journal(member: _Member, held: contextlib.ExitStack) -> Journal:
    journal = Journal(member.folder, member.digest)
    held.callback(journal.close)
    if member.at is not None:
        journal.newest = member.at.path
        known = read_metrics(member.folder)
        journal.rows += [row for row in known if row.position <= member.at.position]
    return journal


def _record(members: Sequence[_Member]) -> None:
    """Say in each folder that it is trained in a group, the first time."""
    seeds = [one.recipe.seed for one in members]
    for one in members:
        if (one.folder / GROUP).exists():
            continue
        with writing(one.folder / GROUP):
            write_json(one.folder / GROUP, {"seeds": seeds}, durable=True)


def _train(
    members: Sequence[_Member],
    journals: Sequence[Journal],
    dataset: Dataset,
    last: int,
    observer: Observer,
) -> None:
    recipe, at = members[0].recipe, members[0].at
    recipes = [one.recipe for one in members]
    first = 0 if at is None else at.position.phase
    if at is None:
        networks: list[nn.Module] = [trainable(one, quantized=False) for one in recipes]
    else:
        quantized = recipe.phases[first].kind != "pretrain"
        networks = [
            restored(one.recipe, one.at.tensors, quantized=quantized) for one in members if one.at
        ]
    floating = networks
    if first and any(p.kind in QUANTIZED_FROM_FLOAT for p in recipe.phases[first + 1 :]):
        floating = [_floating(one) for one in members]
    for index in range(first, last + 1):
        phase = recipe.phases[index]
        begun = at is not None and index == first
        if phase.kind in QUANTIZED_FROM_FLOAT and not begun:
            pairs = zip(recipes, floating, strict=True)
            networks = [quantized_from(one, network, dataset) for one, network in pairs]
        if phase.kind in WITHOUT_EPOCHS:
            for one, network, journal in zip(recipes, networks, journals, strict=True):
                journal.add(run_without_epochs(phase, index, network, dataset, Batching.of(one)))
            continue
        if recipe.quantization.weight_step == "fixed":
            for network in networks:
                fix_weight_steps(network)
        trainer = GroupPhase(recipes, index, networks, journals, dataset, observer)
        trainer.run([one.at for one in members if one.at] if begun else None)
        trainer.give()
        if phase.kind == "pretrain":
            floating = networks


def _floating(member: _Member) -> nn.Module:
    """The float network, which a later phase starts from again."""
    last = max(i for i, phase in enumerate(member.recipe.phases) if phase.kind == "pretrain")
    kept = CheckpointFolder(member.folder / CHECKPOINTS).end_of(last, member.digest)
    return restored_float(member.recipe, kept.tensors)

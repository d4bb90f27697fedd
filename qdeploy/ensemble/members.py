"""The members of an ensemble: finished runs that are read and found to go together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qdeploy.data.load import known_facts
from qdeploy.errors import UserError
from qdeploy.observer import ignore
from qdeploy.recipe.data import Data
from qdeploy.training.run import MODEL, Run, load_run

FEWEST, MOST = 2, 4
# Keys of a recipe's `data` that say how a network is trained, and not on what.
_TRAINING_ONLY = frozenset(
    {"augment", "crop_padding", "batch_size", "validation", "workers", "on_device"}
)


def read_members(folders: Sequence[Path], note: Callable[[str], None] = ignore) -> list[Run]:
    """The runs in `folders`, in this order.

    Args:
        note: as in `load_run`.

    Raises:
        UserError: there are too few or too many; two have the same weights; one has float layers;
            data sets, input shapes, numbers of classes or input codes differ.
        CheckpointError: as `load_run`, of an unfinished run or of a folder with something else.
    """
    if not FEWEST <= len(folders) <= MOST:
        raise UserError(
            f"an ensemble of {len(folders)} run{'s' if len(folders) != 1 else ''}",
            expected=f"{FEWEST} to {MOST} run folders",
            why="one network has nobody to vote with"
            if len(folders) < FEWEST
            else "each member takes the hardware of a whole network, and adds less than the one "
            "before it",
            do="name other runs",
        )
    for index, folder in enumerate(folders):
        if folder.resolve() in [one.resolve() for one in folders[:index]]:
            raise _twice(folder, "it is named twice")
    runs: list[Run] = []
    for folder in folders:
        run = load_run(folder, note)
        _check_quantized(run)
        for other in runs:
            if run.files[MODEL] == other.files[MODEL]:
                raise _twice(folder, f"`{other.folder}` has the same weights, bit for bit")
        runs.append(run)
        check_same_task(runs[0], run)
    return runs


def _twice(folder: Path, why: str) -> UserError:
    return UserError(
        f"the run `{folder}` is a member already",
        why=f"{why}; equal members err alike, so the vote would be of fewer networks",
        do="train another network: with another seed (--set seed=1), width or depth",
    )


def _check_quantized(run: Run) -> None:
    quantization = run.recipe.quantization
    for key, what in (("weight_bits", "weights"), ("activation_bits", "activations")):
        if getattr(quantization, key) == "float":
            raise UserError(
                f"the run `{run.folder}` has float {what}",
                where=f"quantization.{key}: float",
                why="an ensemble is one accelerator, which computes with integers of a few bits",
                do="train it with a few bits",
            )
    if not hasattr(run.network, "input_quant"):
        raise UserError(
            f"the network of the run `{run.folder}` has no module `input_quant`",
            why="the members read one input, so one quantizer takes the place of theirs",
            do="let the network keep what `LayerFactory.input` makes under that name",
        )


def check_same_task(first: Run, run: Run) -> None:
    """Refuse a run that learned something else than the first member.

    Raises:
        UserError: names both runs, and what differs.
    """
    if first.recipe.data.learned_task == "regression":
        raise UserError(
            f"the run `{first.folder}` predicts numbers",
            where="data.task: regression",
            why="members of an ensemble vote for classes",
            do="train one wider network",
        )
    (shape, classes), (their_shape, their_classes) = (
        known_facts(one.recipe.data) for one in (first, run)
    )
    pairs = {
        "data set": (f"`{first.recipe.data.name}`", f"`{run.recipe.data.name}`"),
        "input shape": ("x".join(map(str, shape)), "x".join(map(str, their_shape))),
        "number of classes": (f"{classes:,}", f"{their_classes:,}"),
    }
    left, right = (_what_is_learned(one.recipe.data) for one in (first, run))
    for key in left:
        pairs[f"`data.{key}`"] = (str(left[key]), str(right.get(key)))
    for what, (our, their) in pairs.items():
        if our != their:
            raise UserError(
                f"the members differ in their {what}: {our} in `{first.folder}`, {their} in "
                f"`{run.folder}`",
                where=str(run.folder),
                why="they vote on the same images, for the same classes",
                do="choose runs on the same data",
            )
    bits = first.input_bits, run.input_bits
    if bits[0] != bits[1]:
        raise UserError(
            f"the members differ in their input quantizer: {bits[0]} bits in `{first.folder}`, "
            f"{bits[1]} in `{run.folder}`",
            where="quantization.input_bits",
            why="the accelerator has one input, whose codes every member reads",
            do=f"train that run with --set quantization.input_bits={bits[0]}",
        )


def _what_is_learned(data: Data) -> dict[str, object]:
    found = data.model_dump(mode="json", exclude=set(_TRAINING_ONLY))
    return {key: value for key, value in found.items() if key not in ("name", "image_size")}

"""The grid of a study at a scale: its cells, the trials that they need, and what starts from what.

A cell is a network, a variant and a seed. Its trial is a recipe that ends with the variant's last
phase; a variant that ends in float is read from the *root* of its network: float training, then a
quantization without training, because a run ends quantized. Every other trial starts from the one
with which it shares most phases, its network's root at least: so a float network is trained once,
and a phase that two variants share is trained once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qdeploy.bounded import is_named_file
from qdeploy.errors import DataError, QDeployError, RecipeError, StudyError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.recipe.quantization import Quantization
from qdeploy.recipe.shipped import recipe_file
from qdeploy.search.axis import Axis, parse_axis, value_text
from qdeploy.study.address import ANY_NAME, address
from qdeploy.study.files import Opened, Scale, ScaleName, StudyNetwork
from qdeploy.training.run import recipe_digest
from qdeploy.training.warm_start import shared_phases

MOST_CELLS = 10_000
DIRECT = "direct"

# The recipe completed with what its data say, and the fingerprint of the data.
Completed = tuple[Recipe, str]


@dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        key: its address.
        recipe: resolved.
        start_from: address of the trial whose first phases it takes over; None trains them.
    """

    key: str
    recipe: Recipe
    start_from: str | None = None


@dataclass(frozen=True)
class Cell:
    """What is measured once.

    Args:
        trial: address; None where it is left out.
        phase: of the trial, after which it is measured.
        floating: whether that is a phase in float.
        note: what is special: a stand-in for its data set, or why it is left out.
    """

    network: str
    variant: str
    seed: int
    trial: str | None
    phase: str
    floating: bool
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """A study at a scale.

    Args:
        trials: by address; what others start from comes before them.
        notes: sentences for the user, each once.
    """

    opened: Opened
    scale: ScaleName
    networks: Mapping[str, StudyNetwork]
    cells: Sequence[Cell]
    trials: Mapping[str, Trial]
    notes: Sequence[str] = field(default_factory=tuple)


def expanded(opened: Opened) -> dict[str, StudyNetwork]:
    """The networks by name, with those that `over` makes in place of the one that has it.

    Raises:
        StudyError: values of `over` cannot be read.
    """
    found: dict[str, StudyNetwork] = {}
    for name, network in opened.study.networks.items():
        if not network.over:
            found[name] = network
            continue
        try:
            axes: list[Axis] = [parse_axis(text) for text in network.over]
        except QDeployError as error:
            where = opened.line(f"networks.{name}.over")
            raise StudyError(error.what, where=where, why=error.why, do=error.do) from error
        for values in itertools.product(*(axis.values for axis in axes)):
            pairs = [(axis.key, value) for axis, value in zip(axes, values, strict=True)]
            numbers = {key.rpartition(".")[2]: float(v) for key, v in pairs if _is_number(v)}
            made = network.model_copy(
                update={
                    "over": [],
                    "set": [*network.set, *(f"{key}={value_text(v)}" for key, v in pairs)],
                    "values": {**numbers, **network.values},
                }
            )
            found["-".join([name, *(value_text(v) for _, v in pairs)])] = made
    return found


def plan(opened: Opened, scale: ScaleName, complete: Callable[[Recipe], Completed]) -> Plan:
    """Resolve every recipe of the study at the scale.

    Args:
        complete: the recipe with what its data say, and the fingerprint of those; raises DataError
            where they are missing.

    Raises:
        StudyError: the study has no such scale, a recipe is wrong, or the grid is too large; with
            the line and the trial.
    """
    study = opened.study
    if scale not in study.scales:
        raise StudyError(
            f"the study `{opened.name}` has no scale `{scale}`",
            where=opened.line("scales"),
            do=f"choose one of: {', '.join(study.scales) or 'none, it only draws'}",
        )
    chosen = study.scales[scale]
    networks = expanded(opened)
    for name in chosen.networks or ():
        if name not in networks:
            where = opened.line(f"scales.{scale}.networks")
            known = ", ".join(networks)
            raise StudyError(f"there is no network `{name}`", where=where, do=f"one of: {known}")
    networks = {
        k: n for k, n in networks.items() if chosen.networks is None or k in chosen.networks
    }
    variants = [v for v in study.variants if chosen.variants is None or v in chosen.variants]
    if len(networks) * len(variants) * len(chosen.seeds) > MOST_CELLS:
        raise StudyError(
            f"the study has more than {MOST_CELLS:,} trials at the scale `{scale}`",
            where=opened.line(f"scales.{scale}"),
            do="name fewer networks, variants or seeds",
        )
    trials: dict[str, Trial] = {}
    roots: dict[str, str] = {}
    cells, notes = [], []
    for name, variant in itertools.product(networks, variants):
        where = f"network {name}, variant {variant}, scale {scale}"
        resolved = _resolved(opened, networks[name], name, variant, chosen, scale, where)
        recipe, data, note = _with_data(resolved, complete, where)
        if note and note not in notes:
            notes.append(note)
        for seed in chosen.seeds:
            if data is None:
                cells.append(Cell(name, variant, seed, None, "", False, note))
                continue
            seeded = recipe.model_copy(update={"seed": seed})
            root = _root(seeded)
            digest = recipe_digest(root)
            key = roots.setdefault(digest, address(root, data))
            trials.setdefault(key, Trial(key, root))
            last = seeded.phases[-1]
            floating = last.kind == "pretrain"
            if not floating:
                checked = _checked(seeded, opened, name, variant, where)
                key = address(checked, data)
                trials.setdefault(key, Trial(key, checked))
            cells.append(Cell(name, variant, seed, key, last.name, floating, note))
    return Plan(opened, scale, networks, cells, _linked(trials), notes)


def _resolved(
    opened: Opened,
    network: StudyNetwork,
    name: str,
    variant: str,
    scale: Scale,
    scale_name: str,
    where: str,
) -> list[Recipe]:
    """The recipe, and where the scale has a stand-in for the data set, the one with it."""
    given = opened.study.variants[variant]
    key = f"networks.{name}.recipe"
    beside = opened.path.parent / network.recipe
    try:
        path = beside if is_named_file(beside) else recipe_file(Path(network.recipe))
    except RecipeError as error:
        raise StudyError(
            error.what, where=opened.line(key), why=f"of {where}", do=error.do
        ) from None
    found = []
    for stand_in in [[], scale.stand_in] if scale.stand_in else [[]]:
        words = [*scale.set, *network.set, *given.set, *stand_in]
        try:
            recipe = load_recipe(path, [*words, f"name={ANY_NAME}"])
        except RecipeError as error:
            at = _place(opened, error.where, name, variant, scale_name, network)
            raise StudyError(
                error.what, where=at, why=f"of the trial: {where}", do=error.do
            ) from error
        phases = {phase.name: phase for phase in recipe.phases}
        kept = given.phases or list(phases)
        missing = [one for one in kept if one not in phases]
        if missing:
            raise StudyError(
                f"the recipe has no phase `{missing[0]}`",
                where=opened.line(f"variants.{variant}.phases"),
                why=f"of the trial: {where}",
                do=f"its phases are: {', '.join(phases)}",
            )
        training = recipe.training.model_copy(
            update={"threads": recipe.training.threads or opened.study.threads}
        )
        some: Any = {"phases": [phases[one] for one in kept], "training": training}
        found.append(recipe.model_copy(update=some))
    return found


def _place(
    opened: Opened,
    where: str | None,
    name: str,
    variant: str,
    scale: str,
    network: StudyNetwork,
) -> str:
    """The key of the study that a wrong setting is in, or the recipe's line."""
    setting = (where or "").partition("--set ")[2]
    study = opened.study
    for key, words in (
        (f"variants.{variant}.set", study.variants[variant].set),
        (f"networks.{name}.set", network.set),
        (f"scales.{scale}.set", study.scales[scale].set),  # type: ignore[index]
        (f"scales.{scale}.stand_in", study.scales[scale].stand_in),  # type: ignore[index]
    ):
        if setting and setting in words:
            return f"{opened.line(key)}: {setting}"
    return where or opened.line(f"networks.{name}")


def _with_data(
    recipes: Sequence[Recipe], complete: Callable[[Recipe], Completed], where: str
) -> tuple[Recipe, str | None, str]:
    """The first recipe whose data are there, their fingerprint, and what to say."""
    note = ""
    for number, recipe in enumerate(recipes):
        try:
            completed, data = complete(recipe)
        except DataError as error:
            note = note or f"`{recipe.data.name}` is missing: {error.what}"
            continue
        if number:
            note = f"`{recipes[0].data.name}` is missing: `{recipe.data.name}` stands in for it"
        return completed, data, note
    return recipes[0], None, note + "; trials on it are left out"


def _root(recipe: Recipe) -> Recipe:
    """Float training of the recipe, then a quantization without training."""
    pretraining = [phase for phase in recipe.phases if phase.kind == "pretrain"]
    values = {
        "phases": [*pretraining, Phase(name=DIRECT, kind="direct")],
        "quantization": Quantization(input_bits=recipe.quantization.input_bits),
    }
    return recipe.model_copy(update=values)


def _checked(recipe: Recipe, opened: Opened, name: str, variant: str, where: str) -> Recipe:
    """The recipe without the phases that are left out, which has to be valid too."""
    try:
        return Recipe.model_validate(recipe.model_dump())
    except ValidationError as error:
        text = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise StudyError(
            f"with these phases the recipe is not valid: {text}",
            where=opened.line(f"variants.{variant}.phases"),
            why=f"of the trial: {where}",
            do="keep other phases",
        ) from error


def _linked(trials: Mapping[str, Trial]) -> dict[str, Trial]:
    """The trials with what they start from, in an order in which that comes first."""
    families: dict[str, list[Trial]] = {}
    for trial in trials.values():
        recipe = trial.recipe
        same = [recipe.seed, *(getattr(recipe, k) for k in ("network", "data", "training"))]
        families.setdefault(repr(same), []).append(trial)
    found: dict[str, Trial] = {}
    for family in families.values():
        # What others start from has fewer phases, or is there before them.
        ordered = sorted(family, key=lambda one: len(one.recipe.phases))
        for number, trial in enumerate(ordered):
            shares = [
                (len(shared_phases(other.recipe, trial.recipe)), other.key)
                for other in ordered[:number]
            ]
            most = max(shares, key=lambda one: one[0], default=(0, ""))
            found[trial.key] = Trial(trial.key, trial.recipe, most[1] if most[0] else None)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

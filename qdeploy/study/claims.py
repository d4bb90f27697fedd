"""The papers' claims, each decided by a number that every seed gives and their 95 % interval."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from qdeploy.errors import StudyError
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Phase
from qdeploy.recipe.schedules import CyclicalSchedule
from qdeploy.recipe.shipped import recipe_file
from qdeploy.study.facts import Facts
from qdeploy.study.files import MEASURES, Claim, Opened, Rank, Trend
from qdeploy.study.results import Results
from qdeploy.study.statistics import rank_correlation, slope, spread
from qdeploy.training.schedules import learning_rate

AGREES = {"yes": "yes", "no": "**no**"}
_TERM = re.compile(r"\s*([+-]?)\s*(\w+)\[\s*([^,\]]+?)\s*,\s*([^,\]]+?)\s*\]\s*")
_FACTOR = "factor"
_LEAST_FOR_RANKS = 3


@dataclass(frozen=True)
class Term:
    """A measure of a cell, with its sign."""

    sign: int
    measure: str
    network: str
    variant: str


@dataclass(frozen=True)
class Decided:
    """A claim, what is found here, and whether that agrees."""

    claim: Claim
    found: str
    agrees: str


def parse(text: str, opened: Opened, networks: list[str], key: str) -> list[Term]:
    """The terms of `accuracy[resnet8, w2a2] - accuracy[resnet8, float]`.

    Raises:
        StudyError: it has another form, or a name is unknown.
    """
    terms: list[Term] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None or (terms and not found[1]):
            raise StudyError(
                f"`{text}` is no sum of measures",
                where=opened.line(key),
                do="write it like accuracy[NETWORK, VARIANT] - accuracy[NETWORK, VARIANT]",
            )
        at = found.end()
        term = Term(-1 if found[1] == "-" else 1, found[2], found[3], found[4])
        for name, known, kind in (
            (term.measure, list(MEASURES), "measure"),
            (term.network, networks, "network"),
            (term.variant, list(opened.study.variants), "variant"),
        ):
            if name not in known:
                raise StudyError(
                    f"`{text}`: there is no {kind} `{name}`",
                    where=opened.line(key),
                    do=f"there are: {', '.join(known)}",
                )
        terms.append(term)
    return terms


def check_claims(opened: Opened, networks: list[str]) -> None:
    """Refuse claims that no result could decide, before anything is trained.

    Raises:
        StudyError: as `parse`.
    """
    for number, claim in enumerate(opened.study.claims):
        for side in ("more", "than"):
            if getattr(claim, side):
                parse(getattr(claim, side), opened, networks, f"claims.{number}.{side}")
        if claim.factors is not None:
            phase_of(opened, claim.factors.recipe, claim.factors.phase, f"claims.{number}.factors")


def decide(results: Results) -> list[Decided]:
    """Every claim of the study at this scale."""
    return [_decide(results, number) for number in range(len(results.opened.study.claims))]


def phase_of(opened: Opened, recipe: str, name: str, key: str) -> Phase:
    """A phase of a recipe.

    Raises:
        StudyError: there is none.
    """
    phases = {phase.name: phase for phase in load_recipe(recipe_file(Path(recipe))).phases}
    if name not in phases:
        do = f"its phases are: {', '.join(phases)}"
        raise StudyError(f"`{recipe}` has no phase `{name}`", where=opened.line(key), do=do)
    return phases[name]


def _decide(results: Results, number: int) -> Decided:
    claim = results.opened.study.claims[number]
    if claim.factors is not None:
        key = f"claims.{number}.factors"
        phase = phase_of(results.opened, claim.factors.recipe, claim.factors.phase, key)
        return _factors(claim, phase, results.facts)
    if claim.trend is not None:
        return _trend(results, claim, claim.trend)
    if claim.rank is not None:
        return _rank(results, claim, claim.rank)
    return _difference(results, claim, number)


def _difference(results: Results, claim: Claim, number: int) -> Decided:
    networks = list(results.networks)
    if not networks:  # nothing was run at this scale
        return _nothing(claim)
    sides = []
    for side in ("more", "than"):
        terms = parse(getattr(claim, side), results.opened, networks, f"claims.{number}.{side}")
        values = [(t.sign, results.by_seed(t.network, t.variant, t.measure)) for t in terms]
        there = set.intersection(*(set(one) for _, one in values))
        sides.append({seed: sum(sign * one[seed] for sign, one in values) for seed in there})
    more, than = sides
    seeds = sorted(set(more) & set(than))
    total = spread([more[seed] - than[seed] for seed in seeds])
    if total is None:
        return _nothing(claim)
    means = [sum(side[seed] for seed in seeds) / len(seeds) for side in sides]
    text = f"{means[0]:.4g} against {means[1]:.4g}: {_interval(total.mean, total.low, total.high)}"
    return Decided(
        claim, f"{text}, {_seeds(total.count)}", AGREES.get(total.verdict, total.verdict)
    )


def _trend(results: Results, claim: Claim, trend: Trend) -> Decided:
    names = [n for n in results.names if trend.networks is None or n in trend.networks]
    values = {n: results.by_seed(n, trend.variant, trend.measure, trend.minus) for n in names}
    places = {n: results.along(n, trend.along) for n in names}
    usable = [n for n in names if values[n] and places[n] is not None]
    if len({places[n] for n in usable}) < 2:
        return _nothing(claim)
    seeds = sorted(set.intersection(*(set(values[n]) for n in usable)))
    x = [math.log2(places[n] or 1.0) if trend.log else float(places[n] or 0.0) for n in usable]
    slopes = [slope(x, [values[n][seed] for n in usable]) for seed in seeds]
    sign = 1 if trend.direction == "rises" else -1
    total = spread([sign * one for one in slopes])
    plain = spread(slopes)
    if total is None or plain is None:
        return _nothing(claim)
    unit = f"each doubling of {trend.along}" if trend.log else trend.along
    ends = [results.spread(n, trend.variant, trend.measure, trend.minus) for n in usable]
    course = ", ".join(f"{e.mean:.4g}" for e in ends if e is not None)
    text = f"{course}; slope {_interval(plain.mean, plain.low, plain.high)} per {unit}"
    return Decided(
        claim, f"{text}, {_seeds(total.count)}", AGREES.get(total.verdict, total.verdict)
    )


def _rank(results: Results, claim: Claim, rank: Rank) -> Decided:
    published = {
        name: value
        for name in results.names
        if (rank.networks is None or name in rank.networks)
        and (value := results.facts.get(name, rank.variant, rank.measure)) is not None
    }
    values = {n: results.by_seed(n, rank.variant, rank.measure) for n in published}
    usable = [n for n in published if values[n]]
    if len(usable) < _LEAST_FOR_RANKS:
        return _nothing(claim)
    seeds = sorted(set.intersection(*(set(values[n]) for n in usable)))
    paper = [published[n] for n in usable]
    total = spread([rank_correlation(paper, [values[n][s] for n in usable]) for s in seeds])
    if total is None:
        return _nothing(claim)
    text = f"rank correlation {_interval(total.mean, total.low, total.high)} over {len(usable)}"
    text += f" networks, {_seeds(total.count)}"
    return Decided(claim, text, AGREES.get(total.verdict, total.verdict))


def _factors(claim: Claim, phase: Phase, facts: Facts) -> Decided:
    """Eight rates of a cycle by the code that trains, against the paper's factors; no seeds."""
    wanted = [value for (_, variant, _), value in facts.values.items() if variant == _FACTOR]
    assert isinstance(phase.schedule, CyclicalSchedule)
    steps = len(wanted) or 1
    period = phase.schedule.period_epochs
    rates = [
        learning_rate(phase, step, steps, phase.epochs) for step in range(0, steps * period, period)
    ]
    off = max((abs(r / rates[0] / w - 1) for r, w in zip(rates, wanted, strict=True)), default=1.0)
    text = f"{rates[0]:.4g} times " + ", ".join(f"{rate / rates[0]:.4g}" for rate in rates)
    text += f"; largest relative difference {off:.1g}; no seeds, computed"
    return Decided(claim, text, "yes" if off < 1e-4 else "**no**")


def _nothing(claim: Claim) -> Decided:
    return Decided(claim, "-", "not run at this scale")


def _interval(mean: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{mean:+.3g}"
    return f"{mean:+.3g} (95 % interval {low:+.3g} to {high:+.3g})"


def _seeds(count: int) -> str:
    return f"{count} seed{'s' * (count != 1)}"

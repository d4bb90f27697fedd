"""The page of a study: what the paper says, what is found here, whether they agree; and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.artifacts import write_text
from qdeploy.study.claims import Decided, decide
from qdeploy.study.files import MEASURES, Scale
from qdeploy.study.store import DIVERGED, DONE, FAILED

if TYPE_CHECKING:
    from qdeploy.study.results import Results

_SHOWN = ("accuracy", "miou", "distortion", "noise", "weights", "weight_kib", "lut", "fps")


def as_data(results: Results, decided: Sequence[Decided]) -> dict[str, Any]:
    """Everything as JSON data."""
    cells = []
    for row in results.rows:
        values = {
            measure: results.by_seed(row.network, row.variant, measure)[row.seed]
            for measure in results.measures
            if row.seed in results.by_seed(row.network, row.variant, measure)
        }
        cell: dict[str, Any] = {
            "network": row.network,
            "variant": row.variant,
            "seed": row.seed,
            "state": row.state,
            "run": row.address,
            **values,
        }
        if row.note:
            cell["note"] = row.note
        if row.error:
            cell["error"] = row.error
        cells.append(cell)
    return {
        "study": results.opened.name,
        "scale": results.scale,
        "source": results.opened.study.source,
        "cells": cells,
        "claims": [
            {"says": one.claim.says, "source": one.claim.source, "found": one.found}
            | {"agrees": one.agrees.strip("*")}
            for one in decided
        ],
        "made_by": results.makers,
    }


def write_page(results: Results, folder: Path) -> Path:
    """Write `NAME.md` and its figures into `folder`; the page's path."""
    from qdeploy.study.figures import draw

    study, name = results.opened.study, results.opened.name
    pictures = []
    for figure, wanted in study.figures.items():
        file = f"{name}-{figure}.png"
        if draw(results, figure, folder / file):
            pictures.append(f"![{wanted.title}]({file})")
    parts = [f"# {study.title}", _where_from(results)]
    if study.about:
        parts.append(study.about.strip())
    parts += [_claims(decide(results), seeds=bool(results.rows)), *pictures]
    if results.rows:
        parts += ["## Figures in numbers", _table(results), _missing(results)]
    path = folder / f"{name}.md"
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _where_from(results: Results) -> str:
    study = results.opened.study
    lines = []
    if study.source:
        lines.append(f"After {study.source}.")
    if not results.rows:
        lines.append("Drawn from the code that trains; nothing is trained for it. Made by")
        lines.append(f"`qdeploy study show {results.opened.name} --page docs/studies`.")
        return "\n".join(lines)
    scale = study.scales.get(results.scale)  # type: ignore[call-overload]
    seeds = sorted({row.seed for row in results.rows})
    lines.append(
        f"Scale `{results.scale}`: {len(results.rows)} figures of {len(results.names)} networks, "
        f"{len(seeds)} seeds each. Made by `qdeploy study run {results.opened.name} "
        f"--scale {results.scale}`, then `qdeploy study show {results.opened.name} --page FOLDER`."
    )
    if isinstance(scale, Scale) and scale.note:
        lines.append(f"**What this scale is:** {scale.note}.")
    elif results.scale == "full":
        lines.append("The recipes as they are.")
    makers = Counter(str(maker.get("git")) for maker in results.makers)
    if makers:
        lines.append(f"Trained by revision {', '.join(sorted(makers))}.")
    return "\n".join(lines)


def _claims(decided: Sequence[Decided], *, seeds: bool) -> str:
    if not decided:
        return ""
    lines = [
        "## What the paper says, and what we find",
        "",
        "| the paper says | where | we find | agree? |",
        "|---|---|---|---|",
    ]
    for one in decided:
        cells = (one.claim.says, one.claim.source, one.found, one.agrees)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    if not seeds:
        return "\n".join(lines)
    lines += [
        "",
        "*agree*: the 95 % interval of the mean over seeds (Student's t) is on the paper's side of "
        "zero; *no*: it is on the other side; *not decided*: zero is inside. One seed decides "
        "nothing.",
    ]
    return "\n".join(lines)


def _table(results: Results) -> str:
    shown = [one for one in _SHOWN if one in results.measures]
    stated = [m for m in shown if any(key[2] == m for key in results.facts.values)]
    head = ["network", "variant", "seeds", *(MEASURES[one] for one in shown)]
    head += [f"paper: {MEASURES[one]}" for one in stated]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for network in results.names:
        for variant in results.variants:
            spreads = [results.spread(network, variant, one) for one in shown]
            count = max([one.count for one in spreads if one is not None], default=0)
            row = [network, results.label(variant), str(count)]
            for one in spreads:
                if one is None:
                    row.append("-")
                else:
                    wide = f" ± {one.deviation:.2f}" if one.deviation else ""
                    row.append(number(one.mean) + wide)
            for measure in stated:
                value = results.facts.get(network, variant, measure)
                row.append("-" if value is None else f"{value:g}")
            lines.append("| " + " | ".join(row) + " |")
    lines += ["", "±: standard deviation over the seeds."]
    if results.facts.source:
        lines[-1] += f" The paper's figures: {results.facts.source}."
    return "\n".join(lines)


def number(value: float) -> str:
    """A mean as people read it."""
    whole = abs(value) >= 1000 or value == round(value)
    return f"{value:,.0f}" if whole else f"{value:.2f}"


def _missing(results: Results) -> str:
    lines = []
    for state in (FAILED, DIVERGED):
        for row in results.rows:
            if row.state == state:
                said = row.error.strip().splitlines()[0] if row.error.strip() else ""
                trial = f"{row.network}, {results.label(row.variant)}, seed {row.seed}"
                lines.append(f"- {trial}: {state}; {said}")
    waiting = sum(row.state not in (DONE, FAILED, DIVERGED) for row in results.rows)
    if waiting:
        lines.append(f"- {waiting} of {len(results.rows)} figures are not there.")
    lines += [f"- {note}" for note in sorted({row.note for row in results.rows if row.note})]
    return "\n".join(["## What is missing", "", *lines]) if lines else ""

"""A build against limits and against a baseline: one check per figure, and one per rung.

limits     of accuracy, frame rate and resources, given by whoever builds
baseline   figures of an earlier build of the same network, kept as a small JSON file
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.bounded import read_json
from qdeploy.build_folder import GRAPH_FILE
from qdeploy.errors import UserError
from qdeploy.ir.file import read_graph
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph
from qdeploy.report.figures import FIGURES, ON_CORE, Figure, Measured

VERSION = 1
# Figures that a baseline holds a build to.
COMPARED = (
    *("accuracy", "balanced_accuracy", "miou", "r2", "mae", "fps", "latency_cycles"),
    *("lut", "ff", "bram36", "uram", "dsp"),
    *ON_CORE,
)


@dataclass(frozen=True)
class Check:
    """One thing that has to hold.

    Args:
        name: what was looked at.
        passed: None where it was left out.
        found, wanted: for people.
        detail: why it failed, or was left out.
    """

    name: str
    passed: bool | None
    found: str
    wanted: str
    detail: str = ""


@dataclass(frozen=True)
class Limits:
    """What a figure may be: key of `FIGURES` -> least or most of it."""

    least: Mapping[str, float]
    most: Mapping[str, float]


@dataclass(frozen=True)
class Baseline:
    """Figures of an earlier build.

    Args:
        network: as `network_of` gives it.
        rungs: those that ran.
    """

    name: str
    board: str | None
    network: Mapping[str, Any]
    figures: Mapping[str, float]
    rungs: tuple[str, ...]


def network_of(graph: IntegerGraph) -> dict[str, Any]:
    """What makes two builds those of one network: input, operators and the shapes of weights, by
    layer. Weights and bit widths may differ: a network that is trained again stays the same."""
    layers = [
        [type(node).__name__, list(node.weights.shape)]
        for node in graph.nodes
        if isinstance(node, Conv | Dense)
    ]
    return {"input": list(graph.tensors[graph.input].shape), "layers": layers}


def write_baseline(build: Measured, path: Path) -> None:
    """Keep the figures of a build whose ladder holds.

    Raises:
        UserError: it does not: such figures are of nothing.
    """
    if not build.exact:
        raise UserError(
            f"the ladder of `{build.folder}` does not hold, or has not run",
            why="its figures are no baseline for others",
            do="export it again, and let the rungs run",
        )
    ran = [str(rung["name"]) for rung in build.rungs if not rung.get("skipped")]
    write_json(
        path,
        {
            "version": VERSION,
            "name": build.name,
            "board": build.board,
            "network": network_of(read_graph(build.folder / GRAPH_FILE)),
            "figures": {key: build.figures[key] for key in COMPARED if key in build.figures},
            "rungs": ran,
        },
    )


def read_baseline(path: Path, build: Measured) -> Baseline:
    """A baseline for this build.

    Raises:
        UserError: it cannot be read; it is of another network or board.
    """
    try:
        data = read_json(path)
        if not isinstance(data, dict) or data["version"] != VERSION:
            raise ValueError(f"it is no baseline of version {VERSION}")
        figures = {key: float(value) for key, value in dict(data["figures"]).items()}
        unknown = sorted(set(figures) - set(COMPARED))
        if unknown:
            raise ValueError(f"`{unknown[0]}` is no figure")
        found = Baseline(
            str(data["name"]), data["board"], data["network"], figures, tuple(data["rungs"])
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the baseline `{path}` cannot be read",
            where=str(path),
            why=f"the key {error} is missing" if isinstance(error, KeyError) else str(error),
            do="write one with `qdeploy check BUILD --write-baseline FILE`",
        ) from error
    mine = network_of(read_graph(build.folder / GRAPH_FILE))
    if found.network != mine or found.board != build.board:
        other = found.board if found.network == mine else f"another network, `{found.name}`"
        raise UserError(
            f"the baseline `{path}` is of {other}",
            where=f"--against {path}",
            why=f"the build is of `{build.name}` on {build.board}; figures of other networks and "
            "boards say nothing about it",
            do="give its own baseline, or write a new one with --write-baseline",
        )
    return found


def check_build(
    build: Measured,
    limits: Limits,
    baseline: Baseline | None = None,
    *,
    slack: float = 0.0,
    damage: str | None = None,
) -> list[Check]:
    """All checks of a build.

    Args:
        slack: share by which a figure may be worse than that of the baseline: of accuracies and
            R² in points, of others of their value.
        damage: why its files are not those that were made.
    """
    checks = [Check("files", damage is None, "as made" if damage is None else "changed", "as made",
                    damage or "")]  # fmt: skip
    needed = () if baseline is None else baseline.rungs
    checks += [_rung(rung, str(rung["name"]) in needed) for rung in build.rungs]
    if build.exact is None:
        checks.append(Check("ladder", False, "no rung ran", "some rung ran"))
    for bounds, sign in ((limits.least, ">="), (limits.most, "<=")):
        checks += [_limit(build, key, bound, sign) for key, bound in bounds.items()]
    if baseline is not None:
        checks += [_kept(build, key, value, slack) for key, value in baseline.figures.items()]
    return checks


def _rung(rung: Mapping[str, Any], needed: bool) -> Check:
    name = f"rung {rung['name']}"
    if rung.get("skipped"):
        state = False if needed else None
        return Check(name, state, "skipped", "exact", str(rung["skipped"]))
    passed = bool(rung.get("passed", True))
    found = f"{rung.get('mismatches', 0):,} of {rung.get('codes', 0):,} differ"
    return Check(name, passed, found, "exact", str(rung.get("refused") or rung.get("note") or ""))


def _limit(build: Measured, key: str, bound: float, sign: str) -> Check:
    figure, value = FIGURES[key], build.figures.get(key)
    wanted = f"{sign} {figure.text(bound)}"
    if value is None:
        return Check(figure.title, False, "-", wanted, f"the build has no figure: {_missing(key)}")
    passed = value >= bound if sign == ">=" else value <= bound
    return Check(
        figure.title, passed, figure.text(value), wanted, _by(figure, value, bound, passed)
    )


def _kept(build: Measured, key: str, before: float, slack: float) -> Check:
    figure, value = FIGURES[key], build.figures.get(key)
    better = bool(figure.more_is_better)
    room = slack if figure.share or figure.points else slack * before
    bound = before - room if better else before + room
    wanted = f"{'>=' if better else '<='} {figure.text(bound)}"
    name = f"{figure.title} against the baseline"
    if value is None:
        return Check(name, False, "-", wanted, f"the build has no figure: {_missing(key)}")
    passed = value >= bound if better else value <= bound
    return Check(name, passed, figure.text(value), wanted, _by(figure, value, bound, passed))


def _by(figure: Figure, value: float, bound: float, passed: bool) -> str:
    return "" if passed else f"missed by {figure.text(abs(value - bound))}"


def _missing(key: str) -> str:
    if key in ("accuracy", "balanced_accuracy", "miou", "r2", "mae"):
        return f"its source has no test set, or one without {FIGURES[key].title}"
    if key in ON_CORE:
        return "it ran on no core, which --mcu of `qdeploy export` names"
    if key in ("fps", "cycles_per_frame", "latency_cycles"):
        return "the RTL was not simulated"
    return "it was not synthesized"


def failed(checks: Sequence[Check]) -> list[Check]:
    """Those that do not hold."""
    return [check for check in checks if check.passed is False]

"""What a person looks for first: the verdict, accuracy, speed, and what the board has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdeploy.build_records import (
    BuildRecord,
    PhaseRecord,
    ResourcesRecord,
    RungRecord,
    SummaryRecord,
    VerifyRecord,
)
from qdeploy.figures import FIGURES, shown
from qdeploy.report.design_report import DesignReport
from qdeploy.report.differences import Difference
from qdeploy.report.page import Card, grouped, number

# Of the figures that a network has, the first of these.
CHOSEN_BY = ("miou", "r2", "accuracy")
# Key in resources.json -> what it is called.
_METERS = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM", "dsp": "DSP"}


@dataclass(frozen=True)
class Verdict:
    """Whether the build is the network that was trained, and fits.

    Args:
        kind: `good`, `bad`, or empty where nothing shows it.
        headline: in a few words.
        sentence: what it rests on.
    """

    kind: str
    headline: str
    sentence: str


@dataclass(frozen=True)
class Meter:
    """What a design takes of one resource.

    Args:
        used, has: in words.
        share: of what the board has, None where that is not known; may be above 1.
    """

    title: str
    used: str
    has: str
    share: float | None


def verdict_of(
    verify: VerifyRecord, resources: ResourcesRecord | None, difference: Difference | None
) -> Verdict:
    """The verdict of a build: the first thing that is wrong with it, or that nothing is."""
    if difference is not None:
        place = difference.note or "the first difference is not recorded"
        return Verdict("bad", f"NOT EXACT: rung `{difference.rung}` fails", place)
    wrong = verify.get("files", {}).get("wrong", {})
    if isinstance(wrong, Mapping) and wrong:
        named = ", ".join(f"`{name}`" for name in list(wrong)[:5])
        return Verdict("bad", "NOT VERIFIED: files are not as they were made", named)
    if resources is not None and resources.get("fits") is False:
        return Verdict("bad", "DOES NOT FIT the board", "The resources below say by how much.")
    return _of_ladder(verify)


def _of_ladder(verify: VerifyRecord) -> Verdict:
    rungs = verify.get("rungs", [])
    ran = [rung for rung in rungs if not rung.get("skipped")]
    exact = [rung for rung in ran if rung.get("must_be_exact", True)]
    left = [rung["name"] for rung in rungs if rung.get("skipped")]
    if not ran:
        return Verdict("", "Not verified", "No rung of the ladder ran in this build.")
    codes = sum(rung.get("codes", 0) for rung in ran)
    text = f"{_names(ran)}: {grouped(codes)} codes compared"
    ties = sum(rung.get("mismatches", 0) for rung in ran)
    text += f", {grouped(ties)} of them float32 rounding at ties." if ties else ", none differs."
    if left:
        text += f" Not run: {', '.join(left)}."
    if not exact:
        return Verdict("", "Compared in float only", text)
    return Verdict("good", "Exact on every level that ran", text)


def _names(rungs: Sequence[RungRecord]) -> str:
    return ", ".join(rung["name"] for rung in rungs)


def cards_of(report: DesignReport) -> list[Card]:
    """Accuracy, frames per second, latency and the bottleneck."""
    return [
        accuracy_card(report.summary, report.build),
        _speed(report),
        _latency(report),
        _bottleneck(report),
    ]


def accuracy_card(summary: SummaryRecord, build: BuildRecord) -> Card:
    """Of the integers, which is what the target computes; else of the training's last phase."""
    trained = measured(summary.get("phases", []))
    found = dict(build)
    for key in CHOSEN_BY:
        value = found.get(f"{key}_int")
        if isinstance(value, int | float):
            note = f"; trained {trained.value}" if trained and trained.title == titled(key) else ""
            return Card(titled(key), shown(key, value), f"integers, test set{note}")
    if trained is not None:
        return trained
    frames = build.get("frames")
    return Card("Accuracy", "-", f"not measured: {frames}" if frames else "not measured")


def measured(phases: Sequence[PhaseRecord]) -> Card | None:
    """The figure of the last phase that has one, None where no phase has."""
    for phase in reversed(phases):
        for key in CHOSEN_BY:
            value = dict(phase).get(key)
            if isinstance(value, int | float):
                note = f"test set, after phase {phase.get('name', '')}"
                return Card(titled(key), shown(key, value), note)
    return None


def titled(key: str) -> str:
    """What a figure is called at the head of a card."""
    name = FIGURES[key]
    return name[0].upper() + name[1:] if name.islower() else name


def _speed(report: DesignReport) -> Card:
    source = "measured in RTL simulation" if report.measured else "expected, not simulated"
    clock = f"{report.clock_mhz:g} MHz, assumed"
    return Card("Frames per second", grouped(report.fps), f"{clock}; {source}")


def _latency(report: DesignReport) -> Card:
    cycles = report.performance.get("latency_cycles")
    if not cycles:
        return Card("Latency", "-", "not simulated in this build")
    return Card("Latency", duration(cycles / (report.clock_mhz * 1e6)), f"{cycles:,} cycles")


def duration(seconds: float) -> str:
    """A short time with its unit."""
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:,.3g} {unit}"
    return f"{seconds * 1e9:,.3g} ns"


def _bottleneck(report: DesignReport) -> Card:
    row = report.bottleneck
    return Card("Bottleneck", row.layer, f"{row.name}, {report.cycles:,} cycles per frame")


def meters_of(report: DesignReport) -> list[Meter]:
    """What the design takes of the board, by resource; empty without synthesis."""
    available, used = report.resources.get("available"), dict(report.resources)
    if not available:
        return []
    found = []
    for key, title in _METERS.items():
        # Both families have two flip-flops for a LUT; older builds do not say how many.
        has = available.get(key) or (2 * available.get("lut", 0) if key == "ff" else 0)
        amount = used.get(key)
        if not isinstance(amount, int | float) or not (has or amount):
            continue
        found.append(Meter(title, number(amount), number(has), amount / has if has else None))
    return found

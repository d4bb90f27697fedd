"""A training run as a report: its phases, curves, weights, recipe and where it was made.

Reads the files of a run folder, finished or not, and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from qdeploy.artifacts import write_text
from qdeploy.build_folder import (
    METRICS_FILE,
    RECIPE_FILE,
    REPORT_FILE,
    read_metrics,
    read_summary,
)
from qdeploy.build_records import (
    ClassesRecord,
    EpochRecord,
    PhaseRecord,
    SummaryRecord,
    WeightsRecord,
)
from qdeploy.errors import UserError
from qdeploy.figures import shown
from qdeploy.report.classes import sentence
from qdeploy.report.curves import plots_of
from qdeploy.report.epochs import epoch_table
from qdeploy.report.first_screen import Verdict, measured
from qdeploy.report.histograms import HISTOGRAM_TEXT, histograms_of
from qdeploy.report.html_tables import accuracy_table, phases_of
from qdeploy.report.page import Card, grouped, recipe_text, render_page
from qdeploy.report.tables import print_table

TEMPLATE = "run.html.j2"


@dataclass(frozen=True)
class RunReport:
    """Everything that the report of a run shows.

    Args:
        name: of the folder.
        summary: of a finished run, None of another.
        phases: with their figures: of the summary, or of the last epoch of each so far.
        log: `metrics.jsonl`, None where there is none.
        classes: how well classes are told apart, None where that is not known.
        recipe: its text.
    """

    name: str
    summary: SummaryRecord | None
    phases: Sequence[PhaseRecord]
    log: Sequence[EpochRecord] | None
    classes: ClassesRecord | None
    recipe: str

    @property
    def seconds(self) -> float:
        """Of the training so far."""
        whole = (self.summary or {}).get("seconds")
        return whole or sum(row.get("seconds", 0.0) for row in self.log or [])


def is_run(folder: Path) -> bool:
    """Whether a folder holds a training run, finished or not."""
    return (folder / RECIPE_FILE).is_file()


def read_run_report(folder: Path) -> RunReport:
    """The report of the run in `folder`.

    Raises:
        UserError: it holds no run, or a file of it is damaged.
    """
    if not is_run(folder):
        raise UserError(
            f"`{folder}` holds neither a build nor a run",
            where=str(folder),
            why=f"there is no design in it, and no {RECIPE_FILE}",
            do="give the folder that `qdeploy train` or `qdeploy export` wrote",
        )
    summary, log = read_summary(folder), read_metrics(folder)
    phases = (summary or {}).get("phases") or phases_of(log or [])
    name = (summary or {}).get("name") or folder.resolve().name
    classes = (summary or {}).get("by_class")
    return RunReport(name, summary, phases, log, classes, recipe_text(folder / RECIPE_FILE))


def write_run_report(folder: Path, report: RunReport, weights: WeightsRecord | None) -> Path:
    """Write `report.html` into the run folder; its path."""
    path = folder / REPORT_FILE
    write_text(path, render_run(report, weights))
    return path


def render_run(report: RunReport, weights: WeightsRecord | None) -> str:
    """The report as HTML, every text from a file escaped.

    Args:
        weights: of the trained network, None where it is not there.
    """
    head, rows = accuracy_table(report.phases)
    log = report.log or []
    provenance = (report.summary or {}).get("provenance") or {}
    values: dict[str, Any] = {
        "report": report,
        "version": _texts(provenance.get("versions")).get("qdeploy"),
        "verdict": _state(report),
        "cards": _cards(report),
        "phase_head": ["phase", "kind", "epochs", "time", *head[1:]],
        "phase_rows": [
            [row[0], phase.get("kind", ""), str(phase.get("epochs", "")), _took(phase), *row[1:]]
            for row, phase in zip(rows, report.phases, strict=True)
        ],
        "plots": plots_of(log),
        "epochs": epoch_table(log),
        "no_curves": f"There is no {METRICS_FILE}: nothing was trained epoch by epoch here.",
        "classes": report.classes,
        "class_sentence": sentence,
        "histograms": histograms_of(weights) if weights else [],
        "histogram_text": HISTOGRAM_TEXT,
        "made_rows": _made(report),
        "recipe": report.recipe,
    }
    return render_page(TEMPLATE, values)


def print_run(report: RunReport, console: Console) -> None:
    """The phases as a table, and the state of the run."""
    head, rows = accuracy_table(report.phases)
    cells = [
        (row[0], phase.get("kind", ""), str(phase.get("epochs", "")), _took(phase), *row[1:])
        for row, phase in zip(rows, report.phases, strict=True)
    ]
    if cells:
        title = f"Run {report.name}: figures on the test set"
        columns = ("phase", "kind", "epochs", "time", *head[1:])
        print_table(title, columns, cells, right=range(2, len(columns)), console=console)
    state = _state(report)
    line = f"{state.headline}. {state.sentence}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _state(report: RunReport) -> Verdict:
    epochs = sum(1 for row in report.log or [] if row.get("epoch"))
    last = report.phases[-1] if report.phases else PhaseRecord()
    if report.summary is not None:
        kept = last.get("kept_epoch")
        ships = f" The network is that of epoch {kept} of the last phase." if kept else ""
        text = f"{len(report.phases)} phases, {epochs} epochs.{ships}"
        return Verdict("good", "Finished", text)
    if not report.log:
        return Verdict("", "Not finished", "No epoch is done.")
    row = report.log[-1]
    text = f"Phase {row.get('phase', '?')}, epoch {row.get('epoch', 0)} of {row.get('epochs', 0)}."
    return Verdict("", "Not finished", text)


def _cards(report: RunReport) -> list[Card]:
    cards = [measured(report.phases) or Card("Accuracy", "-", "not measured on the test set")]
    first = measured(report.phases[:1])
    if first is not None and len(report.phases) > 1:
        cards.append(Card(f"{first.title}, first phase", first.value, first.note))
    rows = [row for row in report.log or [] if row.get("epoch")]
    if rows:
        best = [
            (value, row)
            for row in rows
            for value in [row.get("validation_accuracy")]
            if value is not None
        ]
        if best:
            value, row = max(best, key=lambda one: one[0])
            where = f"epoch {row.get('epoch', 0)} of {row.get('phase', '?')}"
            cards.append(Card("Best on validation", shown("accuracy", value), where))
        rates = [row.get("images_per_second", 0.0) for row in rows]
        speed = f"{grouped(sorted(rates)[len(rates) // 2])} images/s, median of the epochs"
        cards.append(Card("Time", clock(report.seconds), speed))
    return cards


def _took(phase: PhaseRecord) -> str:
    seconds = phase.get("seconds")
    return "" if seconds is None else clock(seconds)


def clock(seconds: float) -> str:
    """A time such as `1:02:03 h`, `2:03 min` or `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"


def _made(report: RunReport) -> list[list[str]]:
    """Versions, revision, machine and protocol."""
    summary = report.summary or SummaryRecord()
    provenance = summary.get("provenance") or {}
    rows = [[name, text] for name, text in _texts(provenance.get("versions")).items()]
    if provenance.get("git"):
        rows.append(["git revision", str(provenance["git"])])
    rows += [[name, text] for name, text in _texts(provenance.get("machine")).items()]
    rows += [[f"protocol: {name}", text] for name, text in _texts(summary.get("protocol")).items()]
    return rows


def _texts(found: object) -> dict[str, str]:
    """An object of JSON as names and texts; empty where it is something else."""
    items = found.items() if isinstance(found, dict) else ()
    return {
        str(name): ", ".join(f"{key} {one}" for key, one in value.items())
        if isinstance(value, dict)
        else str(value)
        for name, value in items
    }

"""A build for microcontrollers as a report: flash, memory over time, instructions, and the proof.

Reads the files of a build folder, and nothing else. Flash, stack and instructions are those that
the rungs measured under QEMU; instructions are no cycles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from qdeploy.artifacts import write_text
from qdeploy.build_folder import (
    C_PLAN_PATH,
    REPORT_FILE,
    read_build,
    read_c_plan,
    read_classes,
    read_verify,
)
from qdeploy.build_records import (
    BuildRecord,
    ClassesRecord,
    RungRecord,
    SummaryRecord,
    VerifyRecord,
)
from qdeploy.c_plan_record import CPlanRecord, CStreamRecord
from qdeploy.errors import UserError
from qdeploy.report.build_values import build_values
from qdeploy.report.cores import (
    CORE_HEAD,
    NOT_MEASURED,
    arena_note,
    core_rows,
    measured_cores,
    print_cores,
)
from qdeploy.report.design_report import read_source_summary
from qdeploy.report.differences import find_difference
from qdeploy.report.first_screen import accuracy_card, verdict_of
from qdeploy.report.memory_picture import memory_svg
from qdeploy.report.page import Card, bars, number, render_page
from qdeploy.report.tables import Cells, print_table

TEMPLATE = "c.html.j2"
STEP_HEAD = ("layer", "kind", "constants, bytes", "memory in use, bytes", "instructions")


@dataclass(frozen=True)
class CReport:
    """Everything that the report of such a build shows.

    Args:
        name: of the folder.
        summary: of the run it was made from; empty where it was made from a file.
        classes: how well classes are told apart, None where that is not known.
    """

    name: str
    plan: CPlanRecord
    build: BuildRecord
    verify: VerifyRecord
    summary: SummaryRecord
    classes: ClassesRecord | None

    @property
    def cores(self) -> list[RungRecord]:
        """The rungs that ran on a core."""
        return measured_cores(self.verify)


def step_rows(plan: CPlanRecord, cores: Sequence[RungRecord]) -> list[list[str]]:
    """Rows of `STEP_HEAD`; instructions are those that the first of the cores was seen to take."""
    steps = plan["steps"]
    counts = cores[0]["details"].get("instructions_by_step") if cores else None
    told = [number(one) for one in counts] if counts and len(counts) == len(steps) else None
    return [
        [
            one["layer"],
            one["kind"],
            f"{one['constant_bytes']:,}",
            f"{one['live_bytes']:,}",
            "-" if told is None else told[at],
        ]
        for at, one in enumerate(steps)
    ]


def stream_sentences(plan: CPlanRecord) -> list[str]:
    """What runs row by row, what it saves, and its price."""
    return [_stream_sentence(one) for one in plan.get("streams", [])]


def _stream_sentence(one: CStreamRecord) -> str:
    held = ", ".join(f"{ring['rows']} rows of {ring['map']}" for ring in one["rings"])
    return (
        f"Steps {one['first'] + 1} to {one['last'] + 1} run row by row, depth first, "
        f"{one['band']} of the last one's rows in a round; "
        f"{held} are held. "
        f"No row is computed twice; their {one['weights']:,} weights are unpacked "
        f"{one['unpacked_weights']:,} at a frame, {one['unpacked_weights_without']:,} without. "
        f"Without such steps the arena would have {one['arena_without']:,} bytes."
    )


def read_c_report(folder: Path) -> CReport:
    """The report of the build in `folder`.

    Raises:
        UserError: it has no C sources, or a file of it is damaged.
    """
    plan = read_c_plan(folder)
    if plan is None:
        raise UserError(
            f"the build `{folder}` has no C sources",
            where=str(folder / C_PLAN_PATH),
            do="export with `--target c`",
        )
    build = read_build(folder) or {}
    return CReport(
        folder.resolve().name,
        plan,
        build,
        read_verify(folder) or {},
        read_source_summary(build),
        read_classes(folder),
    )


def write_c_report(folder: Path, report: CReport) -> Path:
    """Write `report.html` into the build folder; its path."""
    path = folder / REPORT_FILE
    write_text(path, render_c(folder, report))
    return path


def render_c(folder: Path, report: CReport) -> str:
    """The report as HTML, every text from a file escaped.

    Raises:
        UserError: a file of the build is damaged.
    """
    plan, cores = report.plan, report.cores
    difference = find_difference(report.verify)
    values: dict[str, Any] = {
        **build_values(folder, report.verify, report.summary, report.build),
        "report": report,
        "verdict": verdict_of(report.verify, None, difference),
        "cards": [accuracy_card(report.summary, report.build), *_cards(report)],
        "core_head": CORE_HEAD,
        "core_rows": core_rows(cores),
        "not_measured": NOT_MEASURED,
        "memory": memory_svg(plan),
        "constants": bars(
            [(one["layer"], one["constant_bytes"], "") for one in plan["steps"]], ",d"
        ),
        "streams": stream_sentences(plan),
        "step_head": STEP_HEAD,
        "step_rows": step_rows(plan, cores),
    }
    return render_page(TEMPLATE, values)


def _cards(report: CReport) -> list[Card]:
    plan, cores = report.plan, report.cores
    if not cores:
        return [
            Card("Constants", f"{plan['constants']:,} B", "weights, thresholds and biases"),
            Card("Arena", f"{plan['arena']:,} B", arena_note(plan)),
            Card("Instructions per frame", "-", NOT_MEASURED),
        ]
    one = cores[0]["details"]
    where = f"{one.get('core', '')}, under QEMU"
    stack = f"arena {number(one.get('arena_bytes'))}, stack {number(one.get('stack_bytes'))}"
    return [
        Card("Flash", f"{number(one.get('flash_bytes'))} B", f"code and constants; {where}"),
        Card("RAM", f"{number(one.get('ram_bytes'))} B", f"{stack}, input and results"),
        Card(
            "Instructions per frame",
            number(one.get("instructions_per_frame")),
            "no cycles: a multiplication or a load may take several",
        ),
    ]


def print_c(report: CReport, console: Console) -> None:
    """Steps with their constants and memory, and what the network takes on a core."""
    plan = report.plan
    rows: list[Cells] = [tuple(row) for row in step_rows(plan, report.cores)]
    title = f"Steps; the arena has {plan['arena']:,} bytes, {arena_note(plan)}"
    print_table(title, STEP_HEAD, rows, right=(2, 3, 4), console=console)
    for sentence in stream_sentences(plan):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        console.print()
    print_cores(report.verify, plan, console)

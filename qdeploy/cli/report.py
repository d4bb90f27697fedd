"""`qdeploy report`: a build layer by layer, or a training run, and as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qdeploy.cli.progress import PRINTING

if TYPE_CHECKING:
    from rich.console import Console

    from qdeploy.build_records import WeightsRecord


@click.command()
@click.argument("folder", metavar="BUILD|RUN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--html/--no-html", default=True, help="Write FOLDER/report.html again.")
def report(folder: Path, as_json: bool, html: bool) -> None:
    """Show BUILD, a folder made by `qdeploy export`, layer by layer, or RUN, one made by `qdeploy
    train`, phase by phase; and write report.html into it.

    Of a build: PE, SIMD, cycles, lanes, efficiency, resources with both estimates beside them, FIFO
    fill, where the LUTs are, and what larger boards would give. Of a run, finished or not: figures
    of each phase; on the page also curves, weights with their levels, recipe and provenance. Of a
    build in C: constants and memory of each step, and what the rungs measured on a core.
    """
    from qdeploy.build_folder import BUILD_FILE, has_c, has_design

    if has_c(folder):
        _c(folder, as_json, html)
    elif has_design(folder) or (folder / BUILD_FILE).exists():
        _build(folder, as_json, html)
    else:
        _run(folder, as_json, html)


def _build(folder: Path, as_json: bool, html: bool) -> None:
    import dataclasses
    import json

    from rich.console import Console

    from qdeploy.report.design_report import read_report
    from qdeploy.report.html import write_report
    from qdeploy.report.layers import print_full

    found = read_report(folder)
    written = write_report(folder, found) if html else None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    console = Console()
    print_full(found, console)
    _say(written, console)


def _c(folder: Path, as_json: bool, html: bool) -> None:
    import dataclasses
    import json

    from rich.console import Console

    from qdeploy.report.c_report import print_c, read_c_report, write_c_report

    found = read_c_report(folder)
    written = write_c_report(folder, found) if html else None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    console = Console()
    print_c(found, console)
    _say(written, console)


def _run(folder: Path, as_json: bool, html: bool) -> None:
    import dataclasses
    import json

    from rich.console import Console

    from qdeploy.report.run_report import print_run, read_run_report, write_run_report

    found = read_run_report(folder)
    written = None
    if html:
        weights = None if found.summary is None else _weights(folder)
        written = write_run_report(folder, found, weights)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    console = Console()
    print_run(found, console)
    _say(written, console)


def _weights(folder: Path) -> WeightsRecord:
    """How the weights of a finished run lie among their levels."""
    from qdeploy.training.analysis.weight_levels import weight_levels
    from qdeploy.training.run import load_run

    with PRINTING.warnings():
        return weight_levels(load_run(folder, PRINTING.note).network)


def _say(written: Path | None, console: Console) -> None:
    if written is not None:
        console.print(f"Report: {written}", markup=False, highlight=False, soft_wrap=True)

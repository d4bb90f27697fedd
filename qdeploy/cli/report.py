"""`qdeploy report`: a build layer by layer, and as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--html/--no-html", default=True, help="Write BUILD/report.html again.")
def report(build: Path, as_json: bool, html: bool) -> None:
    """Show BUILD, a folder made by `qdeploy export`, layer by layer.

    PE, SIMD, cycles, lanes, efficiency, resources with both estimates beside them, FIFO fill, where
    the LUTs are, and what larger boards would give.
    """
    import dataclasses
    import json

    from rich.console import Console

    from qdeploy.report.design_report import read_report
    from qdeploy.report.html import write_report
    from qdeploy.report.layers import print_full

    found = read_report(build)
    written = write_report(build, found) if html else None
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    console = Console()
    print_full(found, console)
    if written is not None:
        console.print(f"Report: {written}", markup=False, highlight=False, soft_wrap=True)

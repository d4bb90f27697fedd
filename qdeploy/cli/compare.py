"""`qdeploy compare`: runs and builds side by side."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(folders: tuple[Path, ...], as_json: bool) -> None:
    """Show FOLDERS, two or more runs and builds, side by side: accuracy, frames per second,
    resources, layers that differ, and what their recipes and options say otherwise."""
    if len(folders) < 2:
        raise click.UsageError("one folder alone compares with nothing: give two or more")
    from qdeploy.report.comparison import compare as compared
    from qdeploy.report.comparison import print_comparison
    from qdeploy.report.figures import measured

    found = compared([measured(folder) for folder in folders])
    if as_json:
        click.echo(json.dumps(found.as_data(), indent=2))
        return
    from rich.console import Console

    print_comparison(found, Console())

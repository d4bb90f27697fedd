"""`qdeploy ensemble`: several trained runs become one network that votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from qdeploy.cli.data_option import data_option
from qdeploy.cli.progress import PRINTING


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Folder; default runs/NAME_xN.")
@data_option()
@click.option("--name", help="Name of the ensemble; default that of the folder.")
@click.option("--bits", type=int, help="Bits of a vote, 3 to 8 [as few as decide like the sum].")
@click.option("--force", is_flag=True, help="Replace an earlier ensemble in the folder.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of a table.")
def ensemble(
    runs: tuple[Path, ...],
    out: Path | None,
    data: Path | None,
    name: str | None,
    bits: int | None,
    force: bool,
    as_json: bool,
) -> None:
    """Make one network of 2 to 4 finished RUNs, which add up their votes.

    The members have the same data set and input codes; their networks may differ. Each member's
    logits are rounded to a few bits on one grid, so the vote is a sum of integers. The folder is
    used as a run folder: `qdeploy export FOLDER`.
    """
    from qdeploy.ensemble.make import make_ensemble
    from qdeploy.training.run import recipe_of

    folder = out or Path("runs") / f"{recipe_of(runs[0]).name}_x{len(runs)}"
    made = make_ensemble(runs, folder, data, name=name, bits=bits, force=force, observer=PRINTING)
    if as_json:
        click.echo(json.dumps(made.summary, indent=2))
    else:
        _print_table(made.summary, folder)
        click.echo(f"next: qdeploy export {folder} --target pynq")


def _print_table(summary: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{summary['name']}: {folder}", title_justify="left")
    rows = summary["phases"]
    figures = {"accuracy": "test acc.", "miou": "test mIoU"}
    held = {f"validation_{key}": text.replace("test", "valid.") for key, text in figures.items()}
    shown = {key: text for key, text in (held | figures).items() if key in rows[-1]}
    table.add_column("", no_wrap=True)
    table.add_column("run", overflow="fold")
    table.add_column("seed", justify="right")
    for text in shown.values():
        table.add_column(text, justify="right")
    members = [(Path(one["run"]).name, str(one["seed"])) for one in summary["members"]]
    for row, (run, seed) in zip(rows, [*members, ("", "")], strict=True):
        cells = [f"{row[key]:.2%}" if key in row else "-" for key in shown]
        table.add_row(row["name"], run, seed, *cells)
    console = Console()
    console.print(table)
    images = summary["images"]
    if "validation" in images:
        text = f"valid.: the {images['validation']:,} images that no member was trained on."
        console.print(text, highlight=False, soft_wrap=True)

"""`qdeploy sweep`: estimates of variants of a recipe, as a table and a figure."""

from __future__ import annotations

import json
import logging
import shlex
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qdeploy.cli.amounts import Amount
from qdeploy.cli.data_option import data_option
from qdeploy.cli.limits import room_of, room_options
from qdeploy.cli.progress import PRINTING
from qdeploy.errors import UserError
from qdeploy.observer import SILENT

if TYPE_CHECKING:
    from qdeploy.recipe.models import Recipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--over",
    "axes",
    multiple=True,
    required=True,
    metavar="KEY=VALUE,…",
    help="A key of the recipe and its values, such as network.width=8,16,32; repeatable.",
)
@room_options
@click.option(
    "--runs", type=click.Path(path_type=Path), help="Folder of runs: the accuracies of variants."
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the Pareto figure, .svg or .png.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value in all of them."
)
@click.option("--argmax", is_flag=True, help="End in the class, as export --argmax does.")
@data_option()
@click.option("--json", "as_json", is_flag=True, help="Print the sweep as JSON.")
def sweep(
    recipe: Path,
    axes: tuple[str, ...],
    board: str,
    fps: float | None,
    clock_mhz: float | None,
    max_lut: Amount | None,
    max_bram: Amount | None,
    max_dsp: Amount | None,
    runs: Path | None,
    figure: Path | None,
    overrides: tuple[str, ...],
    argmax: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Estimate RECIPE, a file or a name that `qdeploy recipes` lists, for every combination of the
    values of some of its keys, and say which variants fit and which ones no other beats.

    Nothing is trained or built. The exit code is 1 where no variant fits.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"brevitas\.")
    if figure is not None and figure.suffix not in (".svg", ".png"):
        raise UserError(f"`{figure}` is no name of a picture", do="end it in .svg or .png")
    from qdeploy.recipe.shipped import recipe_file
    from qdeploy.search.axis import parse_axis
    from qdeploy.search.sweep import variants

    room = room_of(board, fps, clock_mhz, max_lut, max_bram, max_dsp)
    found = variants(recipe_file(recipe), overrides, [parse_axis(text) for text in axes])
    complete = _completing(data)
    found = [replace(one, recipe=complete(one.recipe)) for one in found]
    from qdeploy.cli.sweep_table import print_sweep
    from qdeploy.search.sweep import sweep as estimated
    from qdeploy.search.sweep_report import SweepReport
    from qdeploy.search.swept_runs import swept_runs

    known = None if runs is None else swept_runs(runs, found)
    with SILENT.warnings():
        points = estimated(found, room, argmax=argmax, observer=PRINTING)
    trained = (None,) * len(points) if known is None else known.of
    report = SweepReport(room, points, trained)
    title = f"{recipe} on {room.board.name}"
    if figure is not None:
        from qdeploy.search.sweep_plot import write_figure

        write_figure(report, title, figure)
    if as_json:
        click.echo(json.dumps({"recipe": str(recipe), **report.as_data()}, indent=2))
    else:
        from rich.console import Console

        console = Console()
        print_sweep(report, f"Estimates of {title}", console)
        said = []
        if known is not None and known.others:
            said.append(f"{len(known.others)} finished runs in {runs} are of other recipes.")
        if figure is not None:
            said.append(f"Figure: {figure}")
        if report.front:
            best = points[report.front[-1]].variant
            words = [w for value in overrides for w in ("--set", value)]
            said.append(
                f"next: {shlex.join(['qdeploy', 'train', str(recipe), *words, *best.words])}"
            )
        for line in said:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not any(point.fits for point in points):
        raise click.exceptions.Exit(1)


def _completing(data: Path | None) -> Callable[[Recipe], Recipe]:
    """Adds what is found in the data, which are read once for all variants that have the same."""
    from qdeploy.data.own.facts import with_facts
    from qdeploy.recipe.data import Data

    known: dict[str, Data] = {}

    def complete(recipe: Recipe) -> Recipe:
        key = recipe.data.model_dump_json()
        if key in known:
            recipe = recipe.model_copy(update={"data": known[key]})
        found = with_facts(recipe, data, PRINTING)
        known[key] = found.data
        return found

    return complete

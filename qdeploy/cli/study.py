"""`qdeploy study`: the papers' tables and figures, rerun; and studies of one's own."""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from qdeploy.cli import signals
from qdeploy.cli.choices import BOARD
from qdeploy.cli.data_option import data_option
from qdeploy.cli.progress import say
from qdeploy.errors import StudyError

if TYPE_CHECKING:
    from qdeploy.study.files import ScaleName
    from qdeploy.study.results import Results

SCALE = click.Choice(["smoke", "short", "full"])
_STORE = click.option(
    "--store",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("studies"),
    show_default=True,
    help="Folder of the store, the run folders and the builds of all studies.",
)


@click.group()
def study() -> None:
    """Run studies: grids of trainings, whose results go into one store, with tables and figures
    beside the papers' figures."""


@study.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_studies(as_json: bool) -> None:
    """List the studies that come with qdeploy."""
    from rich.console import Console

    from qdeploy.report.tables import print_table
    from qdeploy.study.reading import open_study, shipped_studies

    found = [open_study(name) for name in shipped_studies()]
    if as_json:
        click.echo(json.dumps([_entry(one.name, one.study) for one in found], indent=2))
        return
    rows = [[one.name, one.study.title, one.study.source or "-"] for one in found]
    print_table("Studies", ["name", "about", "of"], rows, console=Console())


def _entry(name: str, found: object) -> dict[str, object]:
    keys = ("title", "source", "networks", "variants", "scales")
    values = {key: getattr(found, key) for key in keys}
    return {"name": name, **{k: list(v) if isinstance(v, dict) else v for k, v in values.items()}}


@study.command()
@click.argument("name")
@click.option("--scale", type=SCALE, default="short", show_default=True, help="How much is run.")
@_STORE
@click.option(
    "--where",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="On this machine, or on the Ray cluster that runs already.",
)
@click.option("--jobs", type=click.IntRange(1, 4096), help="Trials at once; default: by cores.")
@click.option(
    "--export", "board", type=BOARD, help="Build the hardware of quantized networks, first seeds."
)
@click.option("--retry", is_flag=True, help="Train again what failed or diverged.")
@click.option(
    "--one-by-one",
    is_flag=True,
    help="Train no seeds together: weights are, bit for bit, those of `qdeploy train`.",
)
@data_option()
def run(
    name: str,
    scale: ScaleName,
    store: Path,
    where: Literal["local", "ray"],
    jobs: int | None,
    board: str | None,
    retry: bool,
    one_by_one: bool,
    data: Path | None,
) -> None:
    """Train what is missing of the study NAME, a name that `study list` has or a file.

    It can be ended at any time: the next run goes on. Exit code 1: some trials failed.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"brevitas\.")
    # Workers have these too: threads that wait must not spin, and each trial sets its own number.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from qdeploy.cli.main import PLUGINS
    from qdeploy.cli.study_table import progress_shown
    from qdeploy.study.reading import open_study
    from qdeploy.study.run import Request, run_study

    modules = [one for one in os.environ.get(PLUGINS, "").split(",") if one]
    opened = open_study(name)
    request = Request(
        scale=scale,
        folder=store,
        data=data,
        where=where,
        jobs=jobs,
        board=board,
        retry=retry,
        one_by_one=one_by_one,
        modules=tuple(modules),
        address=os.environ.get("RAY_ADDRESS", "auto"),
    )
    try:
        with signals.told(), progress_shown(f"{opened.name} ({scale})") as observer:
            run_study(opened, request, observer)
    except KeyboardInterrupt:
        signals.arrived()
        say("interrupted: the same command goes on")
        raise click.exceptions.Exit(signals.exit_code()) from None
    results = _results(name, scale, store, board)
    _print(results)
    if results.count("failed") or results.count("diverged"):
        raise click.exceptions.Exit(1)


@study.command()
@click.argument("name")
@click.option("--scale", type=SCALE, help="Default: the largest that was run.")
@_STORE
@click.option("--board", help="Whose hardware is shown; default: any.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the page NAME.md and its figures into this folder.",
)
def show(
    name: str,
    scale: str | None,
    store: Path,
    board: str | None,
    as_json: bool,
    page: Path | None,
) -> None:
    """Show what the study NAME has found so far, also while it runs."""
    from qdeploy.study.claims import decide

    results = _results(name, scale, store, board)
    if page is not None:
        from qdeploy.study.page import write_page

        click.echo(f"written: {write_page(results, page)}", err=True)
    if as_json:
        from qdeploy.study.page import as_data

        click.echo(json.dumps(as_data(results, decide(results)), indent=2))
    else:
        _print(results)


def _results(name: str, scale: str | None, folder: Path, board: str | None) -> Results:
    from qdeploy.study.files import SCALES
    from qdeploy.study.reading import open_study
    from qdeploy.study.results import read_results
    from qdeploy.study.store import opened as opened_store

    opened = open_study(name)
    if not opened.study.trains:
        from qdeploy.study.facts import read_facts
        from qdeploy.study.results import Results

        facts = read_facts(opened.study.facts, opened.path)
        return Results(opened, "drawn", {}, facts, [], {}, [])
    with opened_store(folder, note=say) as store:
        known = store.scales(opened.name)
        chosen = scale or next((one for one in reversed(SCALES) if one in known), None)
        if chosen is None or chosen not in known:
            raise StudyError(
                f"the study `{opened.name}` was not run"
                + ("" if scale is None else f" at the scale `{scale}`"),
                where=str(folder),
                do=f"run it: qdeploy study run {name}" + ("" if not known else f"; run: {known}"),
            )
        return read_results(opened, chosen, store, board)


def _print(results: Results) -> None:
    from rich.console import Console

    from qdeploy.cli.study_table import print_results

    print_results(results, Console())

"""`qdeploy estimate`: frame rate and resources of a network, before it is trained or built."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli.amounts import Amount
from qdeploy.cli.data_option import data_option
from qdeploy.cli.limits import room_of, room_options
from qdeploy.cli.progress import PRINTING

if TYPE_CHECKING:
    from qdeploy.ir.integer_graph import IntegerGraph
    from qdeploy.search.estimate import Estimate

RECIPES = (".yaml", ".yml")
SHOWN = ("PE", "SIMD", "M", "ram_style")
KINDS = {"lut": "LUT", "ff": "FF", "bram36": "BRAM36", "dsp": "DSP"}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@room_options
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of a recipe."
)
@click.option(
    "--input",
    "raw",
    metavar="TYPE:SCALE[:ZERO]",
    help="Integers that a file's input is made of, such as uint8:1/255.",
)
@click.option("--argmax", is_flag=True, help="End in the class, as export --argmax does.")
@data_option()
@click.option("--json", "as_json", is_flag=True, help="Print the estimate as JSON.")
def estimate(
    source: Path,
    board: str,
    fps: float | None,
    clock_mhz: float | None,
    max_lut: Amount | None,
    max_bram: Amount | None,
    max_dsp: Amount | None,
    overrides: tuple[str, ...],
    raw: str | None,
    argmax: bool,
    data: Path | None,
    as_json: bool,
) -> None:
    """Estimate frames per second and resources of SOURCE: a recipe, which need not be trained, a
    run, a build, or a QONNX or QCDQ file.

    Nothing is trained or built. The exit code is 1 where the network does not fit.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"brevitas\.")
    if overrides and not _is_recipe(source):
        raise click.UsageError("--set replaces values of a recipe: SOURCE is none")
    from qdeploy.search.estimate import estimate as estimated

    room = room_of(board, fps, clock_mhz, max_lut, max_bram, max_dsp)
    with PRINTING.warnings():
        found = estimated(_graph(source, overrides, raw, argmax, data), room)
    if as_json:
        click.echo(json.dumps({"source": str(source), **as_record(found)}, indent=2))
    else:
        _print(found, source)
    if not found.fits:
        raise click.exceptions.Exit(1)


def _graph(
    source: Path, overrides: tuple[str, ...], raw: str | None, argmax: bool, data: Path | None
) -> IntegerGraph:
    if _is_recipe(source):
        from qdeploy.data.own.facts import with_facts
        from qdeploy.recipe.loading import load_recipe
        from qdeploy.recipe.shipped import recipe_file
        from qdeploy.search.estimate import untrained

        recipe = load_recipe(recipe_file(source), overrides)
        return untrained(with_facts(recipe, data), argmax=argmax)
    from qdeploy.build.inspect import inspect
    from qdeploy.ir.raw_type import parse_raw_type

    given = None if raw is None else parse_raw_type(raw)
    return inspect(source, raw=given, argmax=argmax, data=data).graph


def _is_recipe(source: Path) -> bool:
    """A recipe's file, or a name that is no file or folder and can only be that of a recipe."""
    return source.suffix in RECIPES or not (source.suffix or source.exists())


def as_record(found: Estimate) -> dict[str, Any]:
    """The estimate as JSON data."""
    room = found.room
    return {
        "board": room.board.name,
        "clock_mhz": room.clock,
        "fps": found.fps,
        "cycles_per_frame": max(found.cycles, found.arriving),
        "bottleneck": "input" if found.arriving > found.cycles else found.slowest.name,
        "fastest_for_certain": found.optimal,
        "fits": found.fits,
        "limit": room.limit.used(),
        "available": {kind: _of_board(found, kind) for kind in KINDS},
        **found.usage.used(),
        "layers": [
            {
                "name": one.name,
                "cycles": one.cycles,
                "folding": dict(one.folding),
                **one.usage.used(),
            }
            for one in found.layers
        ],
    }


def _print(found: Estimate, source: Path) -> None:
    from rich.console import Console

    from qdeploy.report.tables import print_table

    console, room = Console(), found.room
    used, limit = found.usage.used(), room.limit.used()
    rows = []
    for one in found.layers:
        amounts = one.usage.used()
        folding = " ".join(f"{key} {one.folding[key]}" for key in SHOWN if key in one.folding)
        rows.append(
            (one.name, folding, f"{one.cycles:,}", *(f"{amounts[kind]:,g}" for kind in KINDS))
        )
    between = {
        kind: used[kind] - sum(one.usage.used()[kind] for one in found.layers) for kind in KINDS
    }
    rows.append(("between the layers", "", "", *(f"{between[kind]:,g}" for kind in KINDS)))
    rows.append(("together", "", "", *(f"{used[kind]:,g}" for kind in KINDS)))
    rows.append(("limit", "", "", *(f"{limit[kind]:,g}" for kind in KINDS)))
    print_table(
        f"Estimate of {source} on {room.board.name}",
        ("layer", "folding", "cycles", *KINDS.values()),
        rows,
        right=tuple(range(2, 3 + len(KINDS))),
        console=console,
    )
    lines = [verdict(found)]
    if not found.fits:
        lines.append(found.excess)
    lines.append("By measured costs of the blocks; synthesis counts, place and route decides.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def verdict(found: Estimate) -> str:
    """The estimate in one line."""
    used = found.usage.used()
    shares = ", ".join(
        f"{used[kind] / _of_board(found, kind):.1%} of the {title}s"
        for kind, title in KINDS.items()
        if used[kind]
    )
    word = "fits" if found.fits else "DOES NOT FIT"
    by = "its input" if found.arriving > found.cycles else f"`{found.slowest.name}`"
    clock = found.room.clock
    return f"{word}: {found.fps:,.0f} frames/s at {clock:g} MHz, bound by {by}; {shares}"


def _of_board(found: Estimate, kind: str) -> float:
    return float(getattr(found.room.board.resources, kind))

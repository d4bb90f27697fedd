"""`qdeploy bits`: bit widths by layer, chosen by sensitivity under a budget of LUTs."""

from __future__ import annotations

import json
import logging
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli.amounts import Amount, AmountType, number_of
from qdeploy.cli.choices import BOARD
from qdeploy.cli.data_option import data_option
from qdeploy.cli.limits import DEFAULT_BOARD
from qdeploy.cli.progress import PRINTING
from qdeploy.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from qdeploy.search.bits import BitChoice, Design
    from qdeploy.training.analysis.sensitivity import Sensitivities

KINDS = ("lut", "ff", "bram36", "dsp")


class _Widths(click.ParamType):
    name = "BITS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        parts = str(value).split(",")
        if not all(part.strip() in {"1", "2", "3", "4", "5", "6", "7", "8"} for part in parts):
            self.fail(f"`{value}` is no list of widths of 1 to 8 bits, such as 2,3,4,8")
        return tuple(sorted({int(part) for part in parts}))


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--board", type=BOARD, default=DEFAULT_BOARD, show_default=True, help="Board to fit.")
@click.option("--max-lut", type=AmountType(), help="LUTs: a number, or a share such as 20%.")
@click.option("--max-dsp", type=AmountType(), help="DSP blocks, likewise; 0 for none.")
@click.option(
    "--fps", type=float, help="Frames per second [as fast as the recipe's own widths fit]."
)
@click.option("--clock", "clock_mhz", type=float, help="Clock in MHz [the board's].")
@click.option(
    "--candidates", type=_Widths(), default="2,3,4,8", show_default=True, help="Widths to choose."
)
@click.option(
    "--layers",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="Layers that are chosen for, by name; may be repeated [all].",
)
@click.option(
    "--by",
    type=click.Choice(["noise", "hessian"]),
    default="noise",
    show_default=True,
    help="Sensitivity: divergence of the logits, or trace of the Hessian.",
)
@click.option("--images", default=512, type=click.IntRange(1), help="Training images for it.")
@click.option("--probes", default=16, type=click.IntRange(1), help="Draws for the traces.")
@click.option("--seed", default=0, help="Of images and draws.")
@data_option()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Recipe [NAME-mixed.yaml]."
)
@click.option("--json", "as_json", is_flag=True, help="Print the choice as JSON.")
def bits(
    run: Path,
    board: str,
    max_lut: Amount | None,
    max_dsp: Amount | None,
    fps: float | None,
    clock_mhz: float | None,
    candidates: tuple[int, ...],
    patterns: tuple[str, ...],
    by: Any,
    images: int,
    probes: int,
    seed: int,
    data: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Choose the bit widths of each layer of RUN, a run whose float training is finished.

    The widths are those of least sensitivity whose design, by estimate, keeps up with the rate
    within the LUTs. They are written as a recipe that `qdeploy train` takes.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"brevitas\.")
    if run.is_file():
        raise UserError(
            f"`{run}` is a file, whose network is quantized already",
            why="sensitivities are those of a float network on its training images",
            do="give the folder that `qdeploy train` wrote",
        )
    from qdeploy.data.load import load_dataset
    from qdeploy.devices.boards import load_board
    from qdeploy.recipe.layer_widths import with_widths
    from qdeploy.recipe.loading import save_recipe
    from qdeploy.recipe.models import RUN_PATTERN
    from qdeploy.search.bits import choose_bits
    from qdeploy.search.room import Room
    from qdeploy.targets.registry import TARGETS
    from qdeploy.training.candidate_widths import candidate_widths, measured
    from qdeploy.training.float_network import load_float

    recipe, network = load_float(run)
    target = out if out is not None else Path(f"{recipe.name}-mixed.yaml")
    if target.exists():
        raise UserError(
            f"`{target}` exists already",
            do="name another file with --out, or remove that one",
        )
    part = load_board(board)
    room = Room(
        part,
        number_of(max_lut, part.resources.lut),
        number_of(max_dsp, part.resources.dsp),
        fps,
        clock_mhz,
        TARGETS.load("pynq").widest_beat,
    )
    room.check()
    dataset = load_dataset(recipe.data, data, PRINTING)
    with PRINTING.warnings():
        found = candidate_widths(recipe, network, dataset, candidates, patterns, PRINTING)
        sensitivities = measured(
            found, dataset, by, images=images, probes=probes, seed=seed, observer=PRINTING
        )
        choice = choose_bits(found, sensitivities, candidates, room, dataset.shape, PRINTING)
    name = target.stem if re.match(RUN_PATTERN, target.stem) else f"{recipe.name}-mixed"
    save_recipe(with_widths(recipe, choice.mixed.widths, name), target)
    rate = room.clock * 1e6 / choice.cycles
    if as_json:
        facts = {"run": str(run), "board": part.name, "clock_mhz": room.clock, "fps": rate}
        facts |= {"by": by, "seed": seed, "images": images, "recipe": str(target)}
        click.echo(json.dumps({**facts, **_as_data(choice, sensitivities)}, indent=2))
        return
    _print(choice, sensitivities, f"{part.name}, {rate:,.0f} frames/s at {room.clock:g} MHz")
    click.echo(f"next: qdeploy train {target} --start-from {run}")


def _as_data(choice: BitChoice, sensitivities: Sensitivities) -> dict[str, Any]:
    layers = [
        {
            "layer": operand.layer,
            "key": operand.key,
            "own": choice.own.widths[operand],
            "bits": choice.mixed.widths[operand],
            "sensitivity": {str(b): value for b, value in sorted(by_width.items())},
        }
        | (
            {"lut": choice.mixed.layers[operand.layer]}
            if operand.key == "weight_bits" and operand.layer in choice.mixed.layers
            else {}
        )
        for operand, by_width in sensitivities.items()
    ]
    return {
        "cycles_per_frame": choice.cycles,
        "limit": _amounts(choice.limit.used()),
        "proven": choice.proven,
        "layers": layers,
        "mixed": _design(choice.mixed),
        "own": _design(choice.own),
        "uniform": {str(width): _design(one) for width, one in choice.uniform.items()},
    }


def _design(design: Design) -> dict[str, Any]:
    used = {} if design.usage is None else _amounts(design.usage.used())
    return {"sensitivity": design.sensitivity, "fits": design.fits, **used}


def _amounts(used: dict[str, float]) -> dict[str, float]:
    return {kind: used[kind] for kind in KINDS}


def _print(choice: BitChoice, sensitivities: Sensitivities, where: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    widths = sorted(choice.uniform)
    layers = Table(
        title=f"sensitivity by bits of weights and activations; {where}", title_justify="left"
    )
    layers.add_column("layer", overflow="fold")  # names are what is folded on a narrow terminal
    layers.add_column("of", no_wrap=True)
    for heading in (*map(str, widths), "own", "bits", "LUTs"):
        layers.add_column(heading, justify="right", no_wrap=True)
    for operand, by_width in sensitivities.items():
        lut = choice.mixed.layers.get(operand.layer) if operand.key == "weight_bits" else None
        layers.add_row(
            operand.layer,
            "W" if operand.key == "weight_bits" else "A",
            *(f"{by_width[b]:.1e}" for b in widths),
            str(choice.own.widths[operand]),
            str(choice.mixed.widths[operand]),
            "" if lut is None else f"{lut:,}",
        )
    console.print(layers)
    _print_designs(choice, console)
    if not choice.proven:
        console.print("The solver's effort did not suffice to prove that no choice is better.")


def _print_designs(choice: BitChoice, console: Console) -> None:
    from rich.table import Table

    table = Table(title="designs, by estimate", title_justify="left")
    table.add_column("widths")
    for heading in ("sensitivity", "LUTs", "FFs", "BRAM36s", "DSPs", "fits"):
        table.add_column(heading, justify="right")
    rows = [("mixed", choice.mixed), ("the recipe's", choice.own)]
    rows += [(f"{width} everywhere", one) for width, one in choice.uniform.items()]
    for name, one in rows:
        used = None if one.usage is None else one.usage.used()
        amounts = ["too slow", "", "", ""] if used is None else [f"{used[k]:,g}" for k in KINDS]
        table.add_row(name, f"{one.sensitivity:.2e}", *amounts, "yes" if one.fits else "no")
    table.add_section()
    table.add_row("limit", "", *(f"{choice.limit.used()[kind]:,g}" for kind in KINDS), "")
    console.print(table)

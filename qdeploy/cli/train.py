"""`qdeploy train`: a recipe in, a trained 2-bit network out."""

from __future__ import annotations

import json
import logging
import os
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli import signals
from qdeploy.cli.amounts import Amount
from qdeploy.cli.choices import BOARD
from qdeploy.cli.data_option import data_option
from qdeploy.cli.limits import limit_options
from qdeploy.cli.progress import PRINTING
from qdeploy.cli.verdict import Wanted, say_verdict
from qdeploy.training.launch import Launch

if TYPE_CHECKING:
    from qdeploy.recipe.models import Recipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; default runs/NAME.")
@data_option()
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe: training.epochs=3, phases.0.epochs=3, phases.NAME.lipschitz=0.",
)
@click.option("--resume", is_flag=True, help="Go on with an unfinished run.")
@click.option("--force", is_flag=True, help="Replace an earlier run in the folder.")
@click.option(
    "--start-from",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Take over the first phases of another run, as far as the recipes are the same.",
)
@click.option(
    "--any-network", is_flag=True, help="Train also a network that cannot become hardware."
)
@click.option(
    "--board",
    type=BOARD,
    help="Say first whether it fits [on a terminal: whether it fits pynq-z2].",
)
@click.option("--fps", type=float, help="Frames per second, for that estimate.")
@limit_options
@click.option("--no-estimate", is_flag=True, help="Say nothing of boards.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json instead of a table.")
def train(
    recipe: Path,
    out: Path | None,
    data: Path | None,
    overrides: tuple[str, ...],
    resume: bool,
    force: bool,
    start_from: Path | None,
    any_network: bool,
    board: str | None,
    fps: float | None,
    max_lut: Amount | None,
    max_bram: Amount | None,
    max_dsp: Amount | None,
    no_estimate: bool,
    as_json: bool,
) -> None:
    """Train the network of RECIPE, a file or a name that `qdeploy recipes` lists, phase by phase.

    The run folder keeps the resolved recipe, metrics, checkpoints and the trained network. Before
    it trains, it estimates whether the network fits the board; it trains in any case.
    """
    if resume and force:
        raise click.UsageError("--resume goes on with a run, --force replaces it: give one of them")
    # Importing brevitas reports missing CUDA devices and optional kernels, which nothing here uses.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"brevitas\.")
    # Waiting threads that spin slow each other down on a busy machine; torch reads it when loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from qdeploy.recipe.data import DATASETS
    from qdeploy.recipe.loading import load_recipe
    from qdeploy.recipe.shipped import recipe_file

    recipe = recipe_file(recipe)
    launch = Launch.of(os.environ)
    wanted = None
    if not (any_network or no_estimate) and launch.is_first:
        quiet = as_json or resume
        wanted = Wanted.of(board, fps, (max_lut, max_bram, max_dsp), quiet=quiet)
    resolved = load_recipe(recipe, overrides)
    if DATASETS.load(resolved.data.name).shape is None:
        from qdeploy.data.own.facts import with_facts

        resolved = with_facts(resolved, data)
    folder = out if out is not None else Path("runs") / resolved.name
    if not any_network:
        _check_supported(resolved)
    if wanted is not None:
        say_verdict(resolved, wanted)

    from qdeploy.training.run import read_summary
    from qdeploy.training.train import train as run_training

    try:
        with signals.told():
            run_training(
                resolved,
                folder,
                data,
                resume=resume,
                force=force,
                warm_start=start_from,
                launch=launch,
                observer=PRINTING,
            )
    except KeyboardInterrupt:
        signals.arrived()
        if launch.is_first:
            words = [*_again(recipe, folder, data, overrides), *["--any-network"] * any_network]
            click.echo(f"interrupted: go on with `{shlex.join(words)}`", err=True)
        raise click.exceptions.Exit(signals.exit_code()) from None
    if not launch.is_first:
        return
    summary = read_summary(folder) or {}
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        _print_table(summary, folder)
        if not any_network:
            click.echo(f"next: qdeploy export {folder} --target pynq")


def _check_supported(recipe: Recipe) -> None:
    """Refuse a network that cannot become hardware before hours go into its training."""
    from qdeploy.dataflow.supported import check_hardware
    from qdeploy.errors import UnsupportedLayerError
    from qdeploy.networks.from_recipe import build_network

    for key, what in (("weight_bits", "weights"), ("activation_bits", "activations")):
        if getattr(recipe.quantization, key) == "float":
            raise UnsupportedLayerError(
                f"a network with float {what} cannot become hardware",
                where=f"quantization.{key}: float",
                why="the hardware computes with integers of a few bits",
                do="train it for comparison with --any-network",
            )
    network = build_network(recipe, quantized=True)
    check_hardware(network, input_bits=recipe.quantization.input_bits)


def _again(recipe: Path, folder: Path, data: Path | None, overrides: tuple[str, ...]) -> list[str]:
    """The words of the command line that resumes this run."""
    allowed = os.environ.get("QDEPLOY_PLUGINS", "").split(",")
    plugins = [word for module in allowed if module for word in ("--plugin", module)]
    words = ["qdeploy", *plugins, "train", str(recipe), "--out", str(folder)]
    if data is not None:
        words += ["--data", str(data)]
    for override in overrides:
        words += ["--set", override]
    return [*words, "--resume"]


def _print_table(summary: dict[str, Any], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from qdeploy.figures import FIGURES, shown
    from qdeploy.training.protocol import PROTOCOL, protocol_sentence

    table = Table(title=f"{summary['name']}: {folder}", title_justify="left")
    table.add_column("phase", no_wrap=True)
    table.add_column("kind", no_wrap=True)
    phases = summary["phases"]
    splits = [("train_", "train"), ("", "test")]
    if any("validation_accuracy" in phase for phase in phases):
        splits.insert(1, ("validation_", "valid."))
    kinds = {key: name for key, name in {**FIGURES, "accuracy": "acc."}.items() if key in summary}
    figures = {
        f"{key}{kind}": f"{split} {short}" for kind, short in kinds.items() for key, split in splits
    }
    chosen = any("kept_epoch" in phase for phase in phases)
    table.add_column("kept" if chosen else "epochs", justify="right", no_wrap=True)
    for heading in (*figures.values(), "L_Lip", "seconds"):
        table.add_column(heading, justify="right")
    for phase in phases:
        kept = f"{phase['kept_epoch']}/" if "kept_epoch" in phase else ""
        table.add_row(
            phase["name"],
            phase["kind"],
            f"{kept}{phase['epochs']}",
            *(shown(figure.rpartition("_")[2], phase[figure]) for figure in figures),
            f"{phase['lipschitz']:.4g}",
            f"{phase['seconds']:.1f}",
        )
    console = Console()
    console.print(table)
    for text in _test_set(summary):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if PROTOCOL in summary:  # earlier versions kept none
        console.print(protocol_sentence(summary[PROTOCOL]), highlight=False, soft_wrap=True)


def _test_set(summary: dict[str, Any]) -> list[str]:
    """The test set by class, or by target."""
    from qdeploy.figures import shown
    from qdeploy.report.classes import sentence
    from qdeploy.training.details import BY_CLASS, BY_TARGET

    by_target = summary.get(BY_TARGET, {})
    lines = [
        f"{name}: R² {shown('r2', one['r2'])}, MAE {shown('mae', one['mae'])}"
        for name, one in by_target.items()
        if len(by_target) > 1
    ]
    if BY_CLASS in summary:
        lines.append(sentence(summary[BY_CLASS]))
    return lines

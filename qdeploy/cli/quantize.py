"""`qdeploy quantize`: a float network becomes one of integers, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qdeploy.cli.progress import PRINTING
from qdeploy.ptq.options import DEFAULT_METHODS, METHODS

if TYPE_CHECKING:
    from qdeploy.ptq.comparison import Comparison
    from qdeploy.ptq.options import PostTraining


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--weights", "weight_bits", type=int, default=8, show_default=True, help="Bits of weights, 2-8."
)
@click.option(
    "--activations",
    "activation_bits",
    type=int,
    default=8,
    show_default=True,
    help="Bits of activations, 2-8.",
)
@click.option(
    "--ends",
    "end_bits",
    type=int,
    default=8,
    show_default=True,
    help="Bits of the weights of the first and of the last layer.",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help=f"{', '.join(METHODS)} or none; repeatable [{', '.join(DEFAULT_METHODS)}].",
)
@click.option(
    "--percentile",
    type=float,
    help="Percent of an activation's values that are not clipped [scales of least squared error].",
)
@click.option("--per-layer", is_flag=True, help="One weight scale per layer [per channel].")
@click.option("--power-of-two", is_flag=True, help="Scales are powers of two.")
@click.option(
    "--images", type=int, default=512, show_default=True, help="Calibration frames, at most."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of frames.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="What is written [runs/NAME].")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="QDEPLOY_DATA",
    help="Folder of a run's data sets [$QDEPLOY_DATA].",
)
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def quantize(
    source: Path,
    weight_bits: int,
    activation_bits: int,
    end_bits: int,
    methods: tuple[str, ...],
    percentile: float | None,
    per_layer: bool,
    power_of_two: bool,
    images: int,
    seed: int,
    out: Path | None,
    data: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Quantize the float network of SOURCE, a run folder, without training.

    A run is calibrated with its own training images and compared on its test set. The result is a
    run folder that `qdeploy export` takes.
    """
    from qdeploy.ptq.options import PostTraining

    options = PostTraining(
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        end_bits=end_bits,
        per_channel=not per_layer,
        power_of_two=power_of_two,
        steps="mse" if percentile is None else "percentile",
        percentile=100.0 if percentile is None else percentile,
        methods=_methods(methods),
        images=images,
        seed=seed,
    )
    out, found = _of_run(source, out, options, data, force)
    if as_json:
        click.echo(json.dumps({"out": str(out), **options.to_json(), **found.to_json()}, indent=2))
    else:
        _print(found)
        click.echo(f"next: qdeploy export {out} --target pynq")


def _methods(given: tuple[str, ...]) -> tuple[str, ...]:
    """Those that were named, `none` for none of them."""
    if not given:
        return DEFAULT_METHODS
    if "none" in given:
        if len(given) > 1:
            raise click.UsageError("--method none is there beside other methods: leave it out")
        return ()
    return given


def _of_run(
    source: Path, out: Path | None, options: PostTraining, data: Path | None, force: bool
) -> tuple[Path, Comparison]:
    from qdeploy.ptq.of_run import quantize_run, recipe_of_twin
    from qdeploy.training.run import recipe_of

    folder = out or Path("runs") / recipe_of_twin(recipe_of(source), options).name
    found = quantize_run(source, folder, options, data, force=force, observer=PRINTING)
    return folder, found


def _print(found: Comparison) -> None:
    if found.before is not None and found.after is not None:
        after = found.after.to_json()
        for name, value in found.before.to_json().items():
            click.echo(f"{name}: float {value:.2%}, quantized {after[name]:.2%}")
    else:
        click.echo("no labels, no accuracy")
    click.echo(f"same class: {found.agreement:.2%} of {found.frames:,} frames")

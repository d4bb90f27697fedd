"""`qdeploy quantize`: a float network becomes one of integers, without training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli.data_option import data_option
from qdeploy.cli.progress import PRINTING
from qdeploy.ptq.options import DEFAULT_METHODS, METHODS

if TYPE_CHECKING:
    from qdeploy.ptq.comparison import Comparison
    from qdeploy.ptq.options import PostTraining


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--calibrate",
    "frames",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Frames for a file: .npz, .npy, .csv, or a folder of images or of classes.",
)
@click.option(
    "--compare-on",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Frames, with labels, to compare on [those of --calibrate that are left].",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Their labels, .npy or .csv.")
@click.option(
    "--label-column", default="label", show_default=True, help="Labels' column of a .csv file."
)
@click.option(
    "--input",
    "input_type",
    metavar="TYPE[:SCALE[:ZERO]]",
    help="What integers in the frames mean, such as uint8:1/255: x = SCALE x (raw - ZERO).",
)
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
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="What is written [runs/NAME, NAME_wXaY.onnx].",
)
@data_option("Folder of a run's data sets [$QDEPLOY_DATA].")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def quantize(
    source: Path,
    frames: Path | None,
    compare_on: Path | None,
    labels: Path | None,
    label_column: str,
    input_type: str | None,
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
    """Quantize the float network of SOURCE, a run folder or an ONNX file, without training.

    A run is calibrated with its own training images and compared on its test set; the result is a
    run folder. A file is calibrated with the frames of --calibrate, and compared on the rest of
    them, or on all where few are left; the result is a QONNX file. `qdeploy export` takes both.
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
    told = {"frames": frames, "on": compare_on, "labels": labels, "input": input_type}
    if source.suffix == ".onnx":
        made = _of_file(source, out, options, label_column, told, force)
    else:
        made = _of_run(source, out, options, told, data, force)
    if as_json:
        click.echo(json.dumps(made.record | options.to_json(), indent=2))
    else:
        _print(made)


@dataclass(frozen=True)
class _Made:
    """What was written, how it compares, and on which frames."""

    out: Path
    found: Comparison
    frames: str
    next: str

    @property
    def record(self) -> dict[str, Any]:
        """As JSON data."""
        return {"out": str(self.out), "compared_on": self.frames, **self.found.to_json()}


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
    source: Path,
    out: Path | None,
    options: PostTraining,
    told: dict[str, Any],
    data: Path | None,
    force: bool,
) -> _Made:
    from qdeploy.ptq.of_run import quantize_run, recipe_of_twin
    from qdeploy.training.run import recipe_of

    if any(value is not None for value in told.values()):
        raise click.UsageError(
            "--calibrate, --compare-on, --labels and --input are for files: a run has the data set "
            "that it was trained on"
        )
    folder = out or Path("runs") / recipe_of_twin(recipe_of(source), options).name
    found = quantize_run(source, folder, options, data, force=force, observer=PRINTING)
    return _Made(folder, found, "the test set", f"qdeploy export {folder} --target pynq")


def _of_file(
    source: Path,
    out: Path | None,
    options: PostTraining,
    label_column: str,
    told: dict[str, Any],
    force: bool,
) -> _Made:
    from qdeploy.ir.raw_type import parse_raw_type
    from qdeploy.ptq.of_file import quantize_file

    if told["frames"] is None:
        raise click.UsageError("a file needs frames to calibrate with: give them by --calibrate")
    bits = f"w{options.weight_bits}a{options.activation_bits}"
    target = out or source.with_name(f"{source.stem}_{bits}.onnx")
    made = quantize_file(
        source,
        target,
        told["frames"],
        options,
        raw=None if told["input"] is None else parse_raw_type(told["input"]),
        labels=told["labels"],
        label_column=label_column,
        compare_on=told["on"],
        force=force,
        observer=PRINTING,
    )
    which = "frames that no scale was chosen with" if made.unseen else "the calibration frames"
    if told["on"] is not None:
        which = f"frames of {told['on'].name}"
    again = f"qdeploy export {target} --target pynq"
    if told["frames"].suffix != ".csv":
        again += f" --frames-from {told['frames']}"
    return _Made(target, made.comparison, which, again)


def _print(made: _Made) -> None:
    found = made.found
    if found.before is not None and found.after is not None:
        after = found.after.to_json()
        for name, value in found.before.to_json().items():
            click.echo(f"{name}: float {value:.2%}, quantized {after[name]:.2%}")
    else:
        click.echo("no labels, no accuracy")
    click.echo(f"same class: {found.agreement:.2%} of {found.frames:,} frames ({made.frames})")
    click.echo(f"next: {made.next}")

"""`qdeploy simulate`: frames through a build, as integers, in RTL or in C."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qdeploy.cli.data_option import data_option
from qdeploy.cli.progress import PRINTING

if TYPE_CHECKING:
    from qdeploy.build.simulate import Simulation

_WHERE = {
    "int": "integers",
    "rtl": "the design in RTL simulation",
    "c": "the C sources on this machine",
}


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.option(
    "--level",
    type=click.Choice(["int", "rtl", "c"]),
    default="int",
    show_default=True,
    help="Integers in onnxruntime, the design in Verilator, or the C sources on this machine.",
)
@click.option("--frames", "count", type=click.IntRange(1), help="The first frames only [all].")
@click.option(
    "--frames-from",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="Frames: .npz, .npy, or a folder of PNG or .npy [the run's test set].",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Their labels, .npy or .csv.")
@data_option("Folder of the data sets [as at the export; $QDEPLOY_DATA].")
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Threads of the integer network, or programs in C [all cores].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write classes, logits and integers of every frame (.npz).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def simulate(
    build: Path,
    level: Any,
    count: int | None,
    frames_from: Path | None,
    labels: Path | None,
    data: Path | None,
    jobs: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Send frames through BUILD, a folder made by `qdeploy export`, and tell how good the classes
    are.

    Without --frames-from these are the test set of the run that the build is made from, or the
    frames in the build of a file.
    """
    from qdeploy.build.simulate import simulate as run

    with PRINTING.warnings():
        found = run(
            build,
            level=level,
            count=count,
            frames_from=frames_from,
            labels=labels,
            data=data,
            threads=jobs or os.cpu_count() or 1,
            observer=PRINTING,
        )
    if out is not None:
        _write(found, out)
    if as_json:
        click.echo(json.dumps(as_record(found), indent=2))
    else:
        _print(found)
        if out is not None:
            click.echo(f"Written: {out}")


def as_record(found: Simulation) -> dict[str, Any]:
    """The figures as JSON data."""
    frames = len(found.frames.codes)
    return {
        "level": found.level,
        "frames": frames,
        "source": found.frames.source,
        "seconds": found.seconds,
        "frames_per_second": frames / found.seconds,
        "cycles_per_frame": found.cycles_per_frame,
        **found.metrics,
        "by_class": found.by_class,
    }


def _write(found: Simulation, out: Path) -> None:
    import numpy as np

    from qdeploy.artifacts import atomic_path

    arrays: dict[str, Any] = {
        "classes": found.classes,
        "output": found.output,
        "labels": found.frames.labels,
    }
    if found.logits is not None:
        arrays["logits"] = found.logits
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _print(found: Simulation) -> None:
    from rich.console import Console

    from qdeploy.build.scores import shown_score
    from qdeploy.report.classes import sentence
    from qdeploy.report.tables import print_table

    console, record = Console(), found.by_class
    if record is not None and len(record["classes"]) <= 12:
        names = record["classes"]
        rows = [
            (name, *(f"{count:,}" for count in counts), f"{recall:.2%}", f"{f1:.2%}")
            for name, counts, recall, f1 in zip(
                names, record["confusion"], record["recall"], record["f1"], strict=True
            )
        ]
        print_table(
            "Frames by their class (rows) and the class that was said (columns)",
            ("class", *names, "recall", "F1"),
            rows,
            right=tuple(range(1, len(names) + 3)),
            console=console,
        )
    frames = len(found.frames.codes)
    where = _WHERE[found.level]
    figures = ", ".join(shown_score(name, value) for name, value in found.metrics.items())
    lines = [
        f"{where}: {figures or 'no labels, no accuracy'}; {frames:,} frames ({found.frames.source})"
        f" in {found.seconds:.1f} s, {frames / found.seconds:,.0f} frames/s"
    ]
    if found.cycles_per_frame is not None:
        lines.append(f"{found.cycles_per_frame:,} cycles per frame")
    if record is not None:
        lines.append(sentence(record))
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

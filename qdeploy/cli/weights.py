"""`qdeploy weights`: a file of weights for a build that loads them at run time."""

from __future__ import annotations

from pathlib import Path

import click

from qdeploy.cli.data_option import data_option
from qdeploy.cli.export import observer


@click.command()
@click.argument("build", type=click.Path(path_type=Path))
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file [SOURCE's name with .weights].",
)
@click.option(
    "--bin",
    "binary",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A second file with the same, for the driver in C.",
)
@click.option(
    "--rtl-frames",
    default=10,
    show_default=True,
    type=click.IntRange(0),
    help="Frames of each network in RTL simulation, taking turns; 0 for none.",
)
@click.option(
    "--input",
    "input_type",
    metavar="TYPE[:SCALE[:ZERO]]",
    help="Integers a file's input is made of, as of the build's export.",
)
@click.option("--output", metavar="NAME", help="The one of a file's several outputs.")
@data_option("Folder of the data sets [$QDEPLOY_DATA].")
@click.option("--json", "as_json", is_flag=True, help="Print what the file says as JSON.")
def weights(
    build: Path,
    source: Path,
    out: Path | None,
    binary: Path | None,
    rtl_frames: int,
    input_type: str | None,
    output: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Write the weights of SOURCE, a run folder or a QONNX file, for BUILD, a folder made by
    `qdeploy export --runtime-weights`.

    The networks have to be of one shape. On the board, `Accelerator.load_weights(FILE)` loads them
    between batches; with --bin a program in C does (`bare_metal/qd_weights.h` of the package).
    """
    import json

    from qdeploy.build.weights import make_weights

    path = out or Path(f"{source.name.removesuffix('.onnx')}.weights")
    record = make_weights(
        build,
        source,
        path,
        data=data,
        input_type=input_type,
        output=output,
        rtl_frames=rtl_frames,
        binary=binary,
        observer=observer(as_json),
    )
    if as_json:
        click.echo(json.dumps({"file": str(path), **record}, indent=2))
    else:
        click.echo(f"\nWeights: {path} ({record['bytes']:,} bytes, CRC {record['crc32']:08x})")

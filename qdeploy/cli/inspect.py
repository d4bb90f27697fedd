"""`qdeploy inspect`: what a file, a run or a build holds, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "raw",
    metavar="TYPE:SCALE[:ZERO]",
    help="Integers that a file's input is made of, such as uint8:1/255.",
)
@click.option("--output", metavar="NAME", help="The one of a file's several outputs.")
@click.option("--argmax", is_flag=True, help="End in the class, as export --argmax does.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the data sets.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as JSON.")
@click.option(
    "--graph",
    "picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the network as a picture (SVG).",
)
def inspect(
    source: Path,
    raw: str | None,
    output: str | None,
    argmax: bool,
    data: Path | None,
    as_json: bool,
    picture: Path | None,
) -> None:
    """Show SOURCE, a QONNX or QCDQ file, a run or a build: its input and preparation, its layers
    with shapes, bits, scales, weights and operations, and where each goes.

    Nothing is built. What cannot become hardware is refused, with layer, reason and way out.
    """
    import json

    from rich.console import Console

    from qdeploy.artifacts import write_text
    from qdeploy.build.inspect import inspect as look
    from qdeploy.ir.raw_type import parse_raw_type
    from qdeploy.report.network import as_data, layer_rows, print_network
    from qdeploy.report.network_svg import network_svg

    found = look(
        source,
        raw=None if raw is None else parse_raw_type(raw),
        output=output,
        argmax=argmax,
        data=data,
    )
    rows = layer_rows(found.graph, found.absorbed)
    if picture is not None:
        write_text(picture, network_svg(found.graph, rows))
    if as_json:
        facts = {"source": found.source, "operators": dict(found.operators)}
        facts |= as_data(found.graph, rows)
        click.echo(json.dumps({**facts, "notes": list(found.notes)}, indent=2))
        return
    console = Console()
    kinds = ", ".join(f"{count} {kind}" for kind, count in found.operators.items())
    for line in (f"{found.source}: {kinds}", *(f"note: {note}" for note in found.notes), ""):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    print_network(found.graph, rows, console, found.absorbed.get(found.graph.input, ()))
    if picture is not None:
        console.print(f"Picture: {picture}", markup=False, highlight=False, soft_wrap=True)

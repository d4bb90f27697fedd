"""`qdeploy boards`: the boards that a package can be made for."""

from __future__ import annotations

import json

import click

from qdeploy.devices.boards import list_boards, load_board


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def boards(as_json: bool) -> None:
    """List the boards, with what their parts have."""
    found = [load_board(name) for name in list_boards()]
    found.sort(key=lambda board: (board.resources.lut, board.name))
    if as_json:
        click.echo(json.dumps([board.model_dump(mode="json") for board in found], indent=2))
        return
    from rich.console import Console

    from qdeploy.report.tables import print_table

    rows = [
        (
            board.name,
            board.part,
            f"{board.clock_mhz:g}",
            f"{board.resources.lut:,}",
            f"{board.resources.bram36:,g}",
            f"{board.resources.dsp:,}",
            board.life_cycle.state.value,
        )
        for board in found
    ]
    print_table(
        "Boards",
        ("board", "part", "MHz", "LUT", "BRAM36", "DSP", "support"),
        rows,
        right=(2, 3, 4, 5),
        console=Console(),
    )

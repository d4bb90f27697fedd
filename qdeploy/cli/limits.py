"""Options that say where a network has to go: a board, how much of it, how fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from qdeploy.cli.amounts import Amount, AmountType, number_of
from qdeploy.cli.choices import BOARD

if TYPE_CHECKING:
    from qdeploy.devices.boards import Board
    from qdeploy.search.room import Room

F = TypeVar("F", bound=Callable[..., object])
DEFAULT_BOARD = "pynq-z2"


def limit_options(command: F) -> F:
    """Add `--max-lut`, `--max-bram` and `--max-dsp`, and `--max-power`, which is refused."""
    return _with(
        command,
        click.option("--max-lut", type=AmountType(), help="LUTs: a number, or a share as 20%."),
        click.option("--max-bram", type=AmountType(), help="BRAM36 blocks, likewise."),
        click.option("--max-dsp", type=AmountType(), help="DSP blocks, likewise; 0 for none."),
        click.option(
            "--max-power",
            metavar="WATT",
            expose_value=False,
            callback=_without_power,
            help="Refused: no documented figure gives a design's power before it is placed.",
        ),
    )


def room_options(command: F) -> F:
    """Add `--board`, `--fps`, `--clock` and those of `limit_options`."""
    return _with(
        limit_options(command),
        click.option(
            "--board", type=BOARD, default=DEFAULT_BOARD, show_default=True, help="Board to fit."
        ),
        click.option("--fps", type=float, help="Frames per second [as fast as fits]."),
        click.option("--clock", "clock_mhz", type=float, help="Clock in MHz [the board's]."),
    )


def _without_power(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Refuse a limit that could only be guessed.

    Raises:
        UserError: it is given.
    """
    from qdeploy.errors import UserError

    if value is not None:
        raise UserError(
            "there is no estimate of a design's power",
            where=f"--max-power {value}",
            why="it follows from how often each wire toggles and how long it is once placed; the "
            "energy per toggle of a part is in Vivado alone, and in no data sheet",
            do="limit what it grows with (--max-lut, --max-bram, --max-dsp, --clock), and ask "
            "Vivado for the power of the placed design: docs/limits.md, section Power",
        )


def _with(command: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def limits_of(
    board: Board | None, max_lut: Amount | None, max_bram: Amount | None, max_dsp: Amount | None
) -> dict[str, int | None]:
    """Kind of resource -> the most of it; shares are of what `board` has, of nothing without."""
    has = None if board is None else board.resources
    return {
        "max_lut": number_of(max_lut, has.lut if has else 0),
        "max_bram36": number_of(max_bram, has.bram36 if has else 0),
        "max_dsp": number_of(max_dsp, has.dsp if has else 0),
    }


def room_of(
    board: str,
    fps: float | None,
    clock_mhz: float | None,
    max_lut: Amount | None,
    max_bram: Amount | None,
    max_dsp: Amount | None,
) -> Room:
    """What the options of `room_options` say.

    Raises:
        UserError: as `Room.check`; there is no such board.
        FoldingError: as `Room.check`.
    """
    from qdeploy.devices.boards import load_board
    from qdeploy.search.room import Room
    from qdeploy.targets.registry import TARGETS

    part = load_board(board)
    limits = limits_of(part, max_lut, max_bram, max_dsp)
    beat = TARGETS.load("pynq").widest_beat
    room = Room(part, fps=fps, clock_mhz=clock_mhz, widest_beat=beat, **limits)
    room.check()
    return room

"""What `qdeploy train` says first: whether the network that it is about to train fits the board."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.cli.amounts import Amount
from qdeploy.cli.limits import DEFAULT_BOARD, room_of
from qdeploy.cli.progress import say
from qdeploy.errors import DoesNotFitError, FoldingError, UnsupportedLayerError
from qdeploy.observer import SILENT

if TYPE_CHECKING:
    from qdeploy.recipe.models import Recipe
    from qdeploy.search.room import Room

# Estimates take seconds up to here; beyond, only who names a board waits for one.
MOST_WEIGHTS = 500_000


@dataclass(frozen=True)
class Wanted:
    """What the command line says of the verdict.

    Args:
        room: where the network has to go.
        asked: whether a board, a rate or a limit was given, and not only a terminal is there.
    """

    room: Room
    asked: bool

    @staticmethod
    def of(
        board: str | None,
        fps: float | None,
        amounts: tuple[Amount | None, Amount | None, Amount | None],
        *,
        quiet: bool,
    ) -> Wanted | None:
        """None where nobody would read it: nothing was asked for, and there is no terminal.

        Args:
            quiet: where nothing was asked for, say nothing.

        Raises:
            UserError: there is no such board, or not as much of it.
            FoldingError: no network has such a rate.
        """
        asked = board is not None or fps is not None or any(one is not None for one in amounts)
        if not asked and (quiet or not sys.stderr.isatty()):
            return None
        return Wanted(room_of(board or DEFAULT_BOARD, fps, None, *amounts), asked)


def say_verdict(recipe: Recipe, wanted: Wanted) -> None:
    """Estimate the network and say in a line whether it fits; training goes on either way."""
    from qdeploy.cli.estimate import verdict
    from qdeploy.networks.from_recipe import build_network
    from qdeploy.search.estimate import estimate, untrained

    name = wanted.room.board.name
    if not wanted.asked:
        network = build_network(recipe, quantized=False)
        if sum(one.numel() for one in network.parameters()) > MOST_WEIGHTS:
            return
    try:
        with SILENT.warnings():
            found = estimate(untrained(recipe), wanted.room)
    except (DoesNotFitError, FoldingError, UnsupportedLayerError) as error:
        parts = [error.what, error.why, error.do]
        say(f"estimate for {name}: DOES NOT FIT: {'; '.join(filter(None, parts))}")
        return
    say(f"estimate for {name}: {verdict(found)}" + ("" if found.fits else f"; {found.excess}"))

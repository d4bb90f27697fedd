"""Mixed widths for as many LUTs as a recipe's own widths take, for `bench/methods.py`."""

from __future__ import annotations

from pathlib import Path

from qdeploy.data.load import load_dataset
from qdeploy.devices.boards import load_board
from qdeploy.recipe.layer_widths import with_widths
from qdeploy.recipe.models import Recipe
from qdeploy.search.bits import Room, choose_bits
from qdeploy.training.candidate_widths import Measure, candidate_widths, measured
from qdeploy.training.float_network import load_float

BOARD, FPS = "pynq-z2", 100_000.0
CANDIDATES = (2, 3, 4)
NO_DSPS = 0  # products in LUTs, so that LUTs are what all widths are paid in


def at_equal_luts(recipe: Recipe, run: Path, by: Measure, data: Path) -> Recipe:
    """`recipe` with widths chosen by `qdeploy bits`' search for the LUTs of its own widths.

    Args:
        run: whose float network is measured.
        by: sensitivity.
        data: folder of the data sets.
    """
    stored, network = load_float(run)
    dataset = load_dataset(stored.data, data)
    found = candidate_widths(stored, network, dataset, CANDIDATES)
    sensitivities = measured(found, dataset, by)
    board = load_board(BOARD)
    # With one candidate only its own and one uniform design are made.
    own = choose_bits(
        found, sensitivities, CANDIDATES[:1], Room(board, None, NO_DSPS, FPS), dataset.shape
    ).own
    if own.usage is None:
        raise SystemExit(f"{recipe.name} does not reach {FPS:g} frames/s with its own widths")
    room = Room(board, own.usage.lut, NO_DSPS, FPS)
    chosen = choose_bits(found, sensitivities, CANDIDATES, room, dataset.shape).mixed
    print(f"{recipe.name}, seed {recipe.seed}: {own.usage.lut} LUTs with its own widths,")
    print(f"  {chosen.usage and chosen.usage.lut} with {chosen.widths}", flush=True)
    return with_widths(recipe, chosen.widths)

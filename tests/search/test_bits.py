"""Mixed precision of a small network: prices, choices and refusals."""

from __future__ import annotations

from itertools import product

import pytest
from tiny_runs import train_tiny

from qdeploy.data.load import load_dataset
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.devices.boards import load_board
from qdeploy.errors import DoesNotFitError, FoldingError, UserError
from qdeploy.lowering.from_torch.trial import lower_as_trial
from qdeploy.search.bits import BitChoice, choose_bits
from qdeploy.search.room import Room
from qdeploy.search.width_prices import WidthPrices
from qdeploy.training.analysis.sensitivity import Sensitivities
from qdeploy.training.candidate_widths import CandidateWidths, candidate_widths, measured
from qdeploy.training.float_network import load_float

BOARD = load_board("pynq-z2")
WIDTHS = (2, 4)
RATE = 400_000.0


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> CandidateWidths:
    run = train_tiny(tmp_path_factory.mktemp("runs") / "tiny", "training.epochs=4")
    recipe, network = load_float(run)
    return candidate_widths(recipe, network, load_dataset(recipe.data), WIDTHS)


@pytest.fixture(scope="module")
def sensitivities(candidates: CandidateWidths) -> Sensitivities:
    return measured(candidates, load_dataset(candidates.recipe.data), "noise", images=200)


@pytest.fixture(scope="module")
def unlimited(candidates, sensitivities) -> BitChoice:
    """With the whole board at the rate: all the bits there are."""
    return choose_bits(candidates, sensitivities, WIDTHS, Room(BOARD, None, 0, RATE), (1, 8, 8))


def test_with_room_for_everything_every_layer_gets_the_most_bits(unlimited) -> None:
    assert set(unlimited.mixed.widths.values()) == {4}
    assert unlimited.mixed.usage == unlimited.uniform[4].usage
    assert unlimited.cycles == 250


def test_between_two_uniform_designs_a_mixture_takes_what_fits(
    candidates, sensitivities, unlimited
) -> None:
    low, high = (unlimited.uniform[bits].usage.lut for bits in WIDTHS)
    most = (low + high) // 2
    room = Room(BOARD, most, 0, RATE)
    found = choose_bits(candidates, sensitivities, WIDTHS, room, (1, 8, 8))
    assert found.proven
    assert found.mixed.fits
    assert low < found.mixed.usage.lut <= most
    assert found.uniform[2].sensitivity > found.mixed.sensitivity > found.uniform[4].sensitivity
    assert not found.uniform[4].fits
    assert set(found.mixed.widths.values()) == {2, 4}
    total = sum(sensitivities[one][bits] for one, bits in found.mixed.widths.items())
    assert found.mixed.sensitivity == pytest.approx(total)


@pytest.mark.slow
def test_no_choice_with_a_real_design_that_fits_is_much_better(
    candidates, sensitivities, unlimited
) -> None:
    """The prices without what lies between layers decide, so the best may be missed by little."""
    low, high = (unlimited.uniform[bits].usage.lut for bits in WIDTHS)
    room = Room(BOARD, (low + high) // 2, 0, RATE)
    found = choose_bits(candidates, sensitivities, WIDTHS, room, (1, 8, 8))
    prices = WidthPrices(
        lambda widths: lower_as_trial(candidates.mixed(widths), (1, 8, 8)),
        candidates.own,
        found.cycles,
        room.limit,
        load_costs(),
    )
    best = found.uniform[2].sensitivity
    for choice in product(WIDTHS, repeat=len(candidates.own)):
        widths = dict(zip(candidates.own, choice, strict=True))
        if prices.design(widths).usage.within(room.limit):
            best = min(best, sum(sensitivities[one][bits] for one, bits in widths.items()))
    assert found.mixed.sensitivity <= 1.05 * best


def test_what_fits_instead_is_said_where_nothing_does(candidates, sensitivities) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        choose_bits(candidates, sensitivities, WIDTHS, Room(BOARD, 300, 0, RATE), (1, 8, 8))
    text = str(caught.value)
    assert "no widths of 2, 4 bits fit at 400,000 frames per second" in text
    assert "LUT of 300" in text
    number = int(text.split("--max-lut (")[1].split(" ")[0].replace(",", ""))
    assert "fewer than 2 bits" in text
    room = Room(BOARD, number, 0, RATE)
    found = choose_bits(candidates, sensitivities, WIDTHS, room, (1, 8, 8))
    assert found.mixed.fits  # what the message says is so


def test_a_board_has_the_last_word() -> None:
    with pytest.raises(UserError, match=r"cannot have 50,000 LUTs .*\n.*--max-lut\n.* 42,560 are"):
        Room(BOARD, 50_000).check()
    with pytest.raises(UserError, match="cannot have 0 LUTs"):
        Room(BOARD, 0).check()
    with pytest.raises(FoldingError, match="cannot be reached"):
        Room(BOARD, 5000, None, -1.0).check()
    assert Room(BOARD, 5000, 0).limit == ResourceUsage(5000, 85_120, 266, 0, 13_920)

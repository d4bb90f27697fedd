"""Too large a design is refused with the layers that are big and a folding that would fit."""

from __future__ import annotations

import pytest

from qdeploy.devices.boards import load_board
from qdeploy.devices.capacity import Counts
from qdeploy.devices.fit import available
from qdeploy.errors import DoesNotFitError
from qdeploy.synth.figures import LayerResources, Resources
from qdeploy.synth.fit import check_fit, propose

BOARD = load_board("pynq-z2")


def resources(*layers: tuple[str, Counts, dict[str, int], int]) -> Resources:
    total = Counts()
    for _, counts, _, _ in layers:
        total += counts
    return Resources(
        board=BOARD.name,
        part=BOARD.part,
        total=total,
        outside=Counts(),
        layers=tuple(
            LayerResources(f"{name}_mvau", name, "MVAU", name, folding, cycles, counts)
            for name, counts, folding, cycles in layers
        ),
        available=available(BOARD),
        source="test",
    )


def test_a_design_within_the_limit_passes() -> None:
    found = resources(("a", Counts(lut=45_000), {"PE": 4}, 10))
    assert found.fit.fits
    check_fit(found, BOARD)


def test_a_design_that_fills_the_part_but_leaves_nothing_for_the_dma_does_not_fit() -> None:
    found = resources(("a", Counts(lut=46_000), {"PE": 4}, 10))
    assert not found.fit.fits
    with pytest.raises(DoesNotFitError):
        check_fit(found, BOARD)


def test_the_message_names_what_is_exceeded_the_biggest_layers_and_the_folding() -> None:
    found = resources(
        ("small", Counts(lut=2_000), {"PE": 2, "SIMD": 2}, 64),
        ("big", Counts(lut=60_250), {"PE": 16, "SIMD": 32}, 100),
    )
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(found, BOARD, clock_mhz=100)
    text = str(caught.value)
    assert "62,250 of 53,200 LUTs (85% = 45,220 are usable)" in text
    assert text.index("`big_mvau` MVAU 60,250") < text.index("`small_mvau`")
    # Half the lanes: 250 + 30,000 LUTs and twice the cycles.
    assert "fold `big_mvau` to PE=16 SIMD=16: about 32,250 LUTs and 200 cycles per frame" in text
    assert "500,000 frames/s at 100 MHz" in text
    assert "zcu104" in text
    assert "pynq-z1" not in text


def test_the_folding_stays_legal_when_the_lanes_are_no_power_of_two() -> None:
    found = resources(("odd", Counts(lut=90_250), {"PE": 15, "SIMD": 9}, 10))
    proposal = propose(found)
    assert proposal is not None
    assert proposal.folding == {"odd_mvau": {"PE": 5, "SIMD": 9}}
    assert proposal.cycles_per_frame == 30
    assert proposal.used["lut"] == pytest.approx(30_250)


def test_the_biggest_layer_is_folded_first_and_others_follow_when_it_is_not_enough() -> None:
    found = resources(
        ("a", Counts(lut=60_000), {"PE": 8, "SIMD": 8}, 100),
        ("b", Counts(lut=50_000), {"PE": 8, "SIMD": 8}, 100),
    )
    proposal = propose(found)
    assert proposal is not None
    assert set(proposal.folding) == {"a_mvau", "b_mvau"}
    assert proposal.used["lut"] <= 53_200 * 0.85


def test_layers_folded_to_the_end_give_no_proposal_but_other_boards() -> None:
    found = resources(("a", Counts(lut=60_000), {"PE": 1, "SIMD": 1}, 100))
    assert propose(found) is None
    with pytest.raises(DoesNotFitError, match=r"fewer lanes do not make it fit.*kv260"):
        check_fit(found, BOARD)


@pytest.mark.parametrize(
    ("counts", "exceeded"),
    [
        (Counts(lut=10, bram36=150.0), "150 of 140 BRAM36"),
        (Counts(lut=17_000, lutram=17_000), "17,000 of 17,400 LUTs as memory"),
    ],
)
def test_too_much_memory_gets_no_folding_but_a_lower_rate(counts: Counts, exceeded: str) -> None:
    found = resources(("a", counts, {"PE": 4, "SIMD": 4}, 100))
    assert propose(found) is None
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(found, BOARD, clock_mhz=100)
    text = str(caught.value)
    assert exceeded in text
    assert "a slower folding may fit" in text
    assert "less than 1,000,000 frames/s at 100 MHz, or leave the rate out" in text
    assert "no folding" not in text

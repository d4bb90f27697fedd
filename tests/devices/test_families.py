"""Families: one object holds everything that depends on one, found by the name boards use."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.devices.boards import list_boards, load_board
from qdeploy.devices.families import ECP5, FAMILIES, find_family
from qdeploy.errors import InternalError
from qdeploy.resources import resource


@pytest.mark.parametrize("name", list_boards())
def test_designs_can_be_synthesized_for_the_family_of_every_board(
    name: str, tmp_path: Path
) -> None:
    family = find_family(load_board(name).family)
    synthesis = family.synthesized()
    assert f"-family {family.name}" in synthesis.script.summary
    lines = synthesis.script.commands("top", tmp_path, tmp_path)
    assert any(line.startswith(synthesis.script.summary) for line in lines)
    used = synthesis.worth("LUT6")
    assert used is not None and used.lut == 1
    assert synthesis.worth("$mul") is None and synthesis.is_latch("$_DLATCH_P_")


def test_every_family_is_found_by_its_own_name_and_has_measured_costs() -> None:
    for name, family in FAMILIES.items():
        assert find_family(name) is family
        assert family.name == name
        assert resource(f"hw/costs/{family.costs}.json").is_file()


def test_a_family_with_place_and_route_only_synthesizes_no_design() -> None:
    assert ECP5.routing is not None
    assert ECP5.routing.commands("top", "out.json", False)[0].endswith(
        "-nodsp -top top -json out.json"
    )
    with pytest.raises(InternalError, match="cannot be synthesized for Lattice ECP5"):
        ECP5.synthesized()


def test_an_unknown_family_is_told_the_known_ones() -> None:
    with pytest.raises(InternalError, match="known: xc7, xcup, ecp5"):
        find_family("xc8")

"""Boards: every file is complete, unknown names get a suggestion, broken files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.devices.boards import LifeCycleState, list_boards, load_board
from qdeploy.errors import BoardError
from qdeploy.resources import resource


def test_the_six_boards_are_known() -> None:
    assert list_boards() == ["aup-zu3", "kv260", "pynq-z1", "pynq-z2", "ultra96-v2", "zcu104"]


@pytest.mark.parametrize("name", list_boards())
def test_a_board_file_agrees_with_itself(name: str) -> None:
    board = load_board(name)
    assert board.name == name
    assert (board.family == "xc7") == board.part.startswith("xc7")
    assert (board.ps == "processing_system7") == (board.family == "xc7")
    # Both families have two flip-flops to a LUT, and only some LUTs can be memory.
    assert board.resources.ff == 2 * board.resources.lut
    assert board.resources.lutram < board.resources.lut
    source_mhz = 1000 if board.family == "xc7" else 1500
    assert (source_mhz / board.clock_mhz).is_integer()


def test_the_pynq_z2_has_the_resources_of_the_xc7z020() -> None:
    board = load_board("pynq-z2")
    found = board.resources
    assert (found.lut, found.ff, found.bram36, found.dsp) == (53200, 106400, 140, 220)
    assert board.life_cycle.state is LifeCycleState.RETIRED_UPSTREAM


def test_an_unknown_board_lists_the_known_ones_and_suggests_the_nearest() -> None:
    with pytest.raises(BoardError) as caught:
        load_board("PYNQ_Z3")
    text = str(caught.value)
    assert "`PYNQ_Z3` is not known" in text
    assert "did you mean `pynq-z" in text
    for name in list_boards():
        assert name in text


def test_a_name_like_no_board_gets_no_suggestion() -> None:
    with pytest.raises(BoardError) as caught:
        load_board("toaster")
    assert "did you mean" not in str(caught.value)


def test_a_board_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    text = resource("hw/boards/pynq-z2.yaml").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("lut: 53200", "lut: 1000"), encoding="utf-8")
    assert load_board(str(path)).resources.lut == 1000


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("family: xc7", "family: ecp5", "family"),
        ("lut: 53200", "lut: none", "resources.lut"),
        ("clock_mhz: 100", "clock_mhz: 100\ncolour: pink", "colour"),
    ],
)
def test_a_board_file_that_makes_no_sense_is_refused_by_key(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    text = resource("hw/boards/pynq-z2.yaml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(BoardError, match=f"`{named}`"):
        load_board(str(path))


def test_broken_yaml_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("name: [", encoding="utf-8")
    with pytest.raises(BoardError, match="cannot be read"):
        load_board(str(path))
    with pytest.raises(BoardError, match="no board file"):
        load_board(str(tmp_path / "absent.yaml"))

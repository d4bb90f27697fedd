"""Tests find their place: a folder of tests is a room of the package, or a subject listed here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import qdeploy

TESTS = Path(__file__).resolve().parent
PACKAGE = Path(qdeploy.__file__).resolve().parent
SUBJECTS = {
    "bench": "the helpers of bench/",
    "end_to_end": "kinds of layers and networks down to the simulated RTL, through many rooms",
    "fuzz": "random networks through every level, and those that once failed",
    "hw": "the Verilog blocks of hw/rtl",
    "scripts": "what scripts/ does, and the documentation",
    "support": "makers of networks, graphs, files and boards that several folders use",
    "support/text_target": "a target of another package, as pip would install it",
}


def out_of_place(folders: Iterable[str]) -> list[str]:
    """Those of `folders` (relative to tests/) that are neither a room nor a listed subject."""
    return [
        folder
        for folder in folders
        if folder.split("/")[0] not in SUBJECTS and not (PACKAGE / folder / "__init__.py").is_file()
    ]


def test_every_folder_of_tests_mirrors_a_room_or_is_a_listed_subject() -> None:
    folders = {str(path.parent.relative_to(TESTS)) for path in TESTS.rglob("*.py")}
    assert out_of_place(sorted(folders)) == []
    assert set(SUBJECTS) <= folders


def test_folder_that_is_neither_is_named() -> None:
    folders = [".", "dataflow/folding", "support/example", "dataflow/old", "old"]
    assert out_of_place(folders) == ["dataflow/old", "old"]

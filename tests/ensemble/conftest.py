"""Finished runs on the embedded digits, trained once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_runs import train_tiny

SHORT = ("training.epochs=1",)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A run with these changes of the recipe; each is trained once."""
    folder = tmp_path_factory.mktemp("runs")
    made: dict[tuple[str, ...], Path] = {}

    def run(*changes: str) -> Path:
        if changes not in made:
            made[changes] = train_tiny(folder / str(len(made)), *SHORT, *changes)
        return made[changes]

    return run


@pytest.fixture(scope="session")
def pair(trained: Callable[..., Path]) -> list[Path]:
    """Two runs that differ in their width, and have the same images for validation."""
    return [trained(), trained("network.width=8")]

"""What the tests of random networks share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's runtime and the driver are compiled once for all models here."""
    return tmp_path_factory.mktemp("models")

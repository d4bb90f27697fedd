"""Random networks from QONNX to RTL: a sample of what `bench/fuzz.py` does at length."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fuzz import RandomDraw, check, draw_network
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@dataclass
class HypothesisDraw:
    """Choices made, and shrunk, by hypothesis."""

    data: st.DataObject

    def integer(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pick(self, *options: int) -> int:
        return self.data.draw(st.sampled_from(options))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Verilator's runtime and the driver are compiled once for all models here."""
    return tmp_path_factory.mktemp("models")


# 19: a fork behind a max-pool; 36: pixels that no later window reads.
@pytest.mark.parametrize("seed", [19, 36])
def test_networks_that_once_failed_stay_mended(seed: int, models: Path, tmp_path: Path) -> None:
    draw = RandomDraw(np.random.default_rng(seed))
    path = draw_network(draw, seed).save(tmp_path / "network.onnx")
    assert check(path, tmp_path, models, seed=seed).codes > 0


@pytest.mark.slow
@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), seed=st.integers(0, 10_000))
def test_every_level_of_a_random_network_agrees(
    data: st.DataObject, seed: int, models: Path
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        path = draw_network(HypothesisDraw(data), seed).save(work / "network.onnx")
        assert check(path, work, models, seed=seed).codes > 0

"""Random networks from QONNX to RTL: a sample of what `bench/fuzz.py` does at length."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from draw_networks import RandomDraw, draw_network
from fuzz import check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# Kept few: each takes seconds. Together they hold most of what the maker draws.
SEEDS = (1, 9, 25)


@dataclass
class HypothesisDraw:
    """Choices made, and shrunk, by hypothesis."""

    data: st.DataObject

    def integer(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pick(self, *options: int) -> int:
        return self.data.draw(st.sampled_from(options))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_level_of_the_network_of_a_seed_agrees(
    seed: int, models: Path, tmp_path: Path
) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(seed)), seed)
    assert check(network, tmp_path, models, seed=seed).codes > 0


def test_a_seed_draws_the_same_network_again(tmp_path: Path) -> None:
    files = []
    for name in ("first.onnx", "second.onnx"):
        network = draw_network(RandomDraw(np.random.default_rng(7)), 7)
        (tmp_path / name).mkdir()
        files.append(network.save(tmp_path / name / "network.onnx").read_bytes())
    assert files[0] == files[1]


def test_seeds_draw_everything_the_maker_knows() -> None:
    """What no seed draws is not tested, whatever the code of the maker says."""
    wanted = {
        *(f"{kind} of {bits} bits" for kind in ("weights", "activations") for bits in range(1, 9)),
        *(f"input of {bits} bits" for bits in range(1, 9)),
        *("1xN map", "prime channels", "stride 3", "dilation", "asymmetric padding"),
        *("depthwise", "groups", "bias of a layer", "batch norm node", "fully connected"),
        *("binary weights", "ternary weights", "weight scales per channel", "signed activations"),
        *("channels of zero weights", "channels of zero gain"),
        *("power-of-two scales", "arbitrary scales"),
        *("concatenation", "concatenation of several scales", "skip past a smaller map"),
        *("nearest upsampling", "depth to space", "transposed convolution"),
        *("identity shortcut", "projection", "chained joins", "fork to three", "scaled join"),
        *("shortcut of 8 bits", "inverted residual", "residual of fully connected layers"),
        *("max-pool with overlap", "max-pool with padding", "global average"),
        *("logits per pixel", "averages as logits", "argmax", "ends in codes"),
    }
    drawn: set[str] = set()
    for seed in range(220):
        drawn |= draw_network(RandomDraw(np.random.default_rng(seed)), seed).features
    assert wanted <= drawn, wanted - drawn


@pytest.mark.slow
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data(), seed=st.integers(0, 10_000))
def test_every_level_of_a_random_network_agrees(
    data: st.DataObject, seed: int, models: Path
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        network = draw_network(HypothesisDraw(data), seed)
        assert check(network, Path(folder), models, seed=seed).codes > 0

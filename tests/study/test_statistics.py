"""Numbers that decide claims: intervals, ranks, slopes; distortion and noise of a plane."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from qdeploy.data.synthetic2d import area_labels
from qdeploy.study.plane import errors, smoothed
from qdeploy.study.statistics import rank_correlation, slope, spread
from qdeploy.study.trial import packed, unpacked
from qdeploy.training.measured import plane_points

NUMBERS = st.floats(-1e3, 1e3, allow_nan=False).map(lambda x: round(x, 3))


@given(st.lists(NUMBERS, min_size=2, max_size=20, unique=True))
def test_intervals_are_students(values: list[float]) -> None:
    found = spread(values)
    assert found is not None and found.low is not None and found.high is not None
    middle, scale = np.mean(values), stats.sem(values)
    low, high = stats.t.interval(0.95, len(values) - 1, middle, scale)
    assert found.mean == pytest.approx(middle)
    assert found.high - found.low == pytest.approx(high - low, rel=1e-3)
    assert found.high + found.low == pytest.approx(2 * middle)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=12))
def test_ranks_are_spearmans_also_with_equal_values(points: list[tuple[float, float]]) -> None:
    x, y = zip(*points, strict=True)
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-9)
    else:
        assert rank_correlation(x, y) == 0


def test_slopes_are_of_the_line_of_least_squares() -> None:
    assert slope([3, 4, 6, 8], [1, 2, 5, 4]) == pytest.approx(
        np.polyfit([3, 4, 6, 8], [1, 2, 5, 4], 1)[0]
    )


def test_one_seed_decides_nothing() -> None:
    one = spread([5.0])
    assert one is not None and one.verdict == "one seed: no claim"
    assert spread([]) is None


def test_verdicts_follow_the_side_of_zero() -> None:
    cases = {"yes": [1.0, 1.1, 0.9], "no": [-1.0, -1.1], "not decided": [1.0, -1.0, 0.5]}
    for verdict, values in cases.items():
        found = spread(values)
        assert found is not None and found.verdict == verdict


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    flat = area_labels(plane_points())
    return flat.reshape(round(len(flat) ** 0.5), -1)


def test_a_perfect_plane_has_no_distortion_and_little_noise(labels: np.ndarray) -> None:
    found = errors(labels == 1, labels)
    assert found.distortion == 0
    assert found.noise < 0.02


def test_single_wrong_points_are_noise(labels: np.ndarray) -> None:
    truth = labels == 1
    noisy = truth ^ (np.random.default_rng(0).random(truth.shape) < 0.05)
    found, perfect = errors(noisy, labels), errors(truth, labels)
    assert found.noise - perfect.noise == pytest.approx(0.05, abs=0.01)
    assert found.distortion < 0.015


def test_a_whole_area_that_is_wrong_is_distortion(labels: np.ndarray) -> None:
    wrong = labels == 1
    wrong[20:40, 20:40] ^= True
    found, perfect = errors(wrong, labels), errors(labels == 1, labels)
    assert found.distortion > 0.03
    assert found.noise - perfect.noise < 0.01


def test_the_majority_of_a_window_is_what_most_of_its_points_are() -> None:
    plane = np.zeros((9, 9), bool)
    plane[2:7, 2:7] = True
    plane[4, 4] = False
    assert smoothed(plane)[4, 4]
    assert not smoothed(plane)[1, 1]


def test_planes_come_back_as_they_were_stored() -> None:
    plane = np.random.default_rng(1).random((99, 99)) < 0.5
    assert np.array_equal(unpacked(packed(plane), 99), plane)

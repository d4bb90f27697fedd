"""The paper's task in the plane: equations 5 to 7, the areas, and the codes."""

import numpy as np
import pytest
import torch

from qdeploy.data.load import load_dataset
from qdeploy.data.synthetic2d import (
    NOISE,
    area_labels,
    codes,
    core_samples,
    grid,
    training_points,
)


def test_core_samples_lie_on_the_semicircles_of_equations_5_and_6():
    points, labels = core_samples()
    assert points.shape == (2000, 2)
    r = 0.1
    for label in (0, 1):
        x, y = points[labels == label].T
        above = y > 0
        assert above.sum() == 500
        upper = (x**2 + y**2)[above] / r**2
        lower = ((x - r) ** 2 + y**2)[~above] / r**2
        for squares, odd in ((upper, label == 0), (lower, label == 1)):
            wanted = [(2 * i + (1 if odd else 2)) ** 2 for i in range(5)]
            assert np.allclose(squares, np.repeat(wanted, 100))


def test_the_angle_grows_linearly_over_each_semicircle():
    points, labels = core_samples()
    for number, begin in enumerate(range(0, 2000, 100)):
        label, turn, below = number // 10, number % 10 // 2, number % 2
        x, y = points[begin : begin + 100].T
        x = x - 0.1 * below  # semicircles below the axis lie around (0.1, 0)
        angles = np.arctan2(-y if below else y, x)
        assert np.allclose(angles, (np.arange(100) + 0.5) * np.pi / 100)
        assert np.allclose(np.hypot(x, y), 0.1 * (2 * turn + 1 + (label != below)))
        assert set(labels[begin : begin + 100]) == {label}


def test_nine_noisy_subsamples_make_ten_thousand_points_of_each_label():
    points, labels = training_points()
    assert np.bincount(labels).tolist() == [10000, 10000]
    core, core_labels = core_samples()
    assert np.array_equal(points[:2000], core)
    assert np.array_equal(labels, np.tile(core_labels, 10))
    noise = points[2000:] - np.tile(core, (9, 1))
    assert noise.std() == pytest.approx(NOISE, rel=0.02)
    assert abs(noise.mean()) < 0.001
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.03
    assert np.array_equal(training_points()[0], points)
    assert not np.array_equal(training_points(seed=1)[0], points)


def test_every_core_sample_lies_in_the_area_of_its_label():
    points, labels = core_samples()
    assert np.array_equal(area_labels(points), labels)


@pytest.mark.parametrize(
    ("x", "y", "label"),
    [
        (0.0, 0.14, 0),  # nearer to the semicircle of radius 0.1 than to that of 0.2
        (0.0, 0.16, 1),
        (0.1, -0.14, 1),  # below the axis circles lie around (0.1, 0), and labels are swapped
        (0.1, -0.16, 0),
        (0.0, 0.01, 0),
        (0.1, -0.01, 1),
        (0.0, 1.04, 1),
        (0.0, 1.06, -1),
        (1.14, -0.001, 0),
        (1.14, 0.001, -1),
    ],
)
def test_areas_are_divided_midway_between_semicircles(x, y, label):
    assert area_labels(np.array([[x, y]])).tolist() == [label]


def test_the_test_set_is_every_code_of_both_areas_with_its_label():
    data = load_dataset("synthetic2d")
    pixels = data.test_images[:, :, 0, 0].long()
    assert len(pixels.unique(dim=0)) == len(pixels)
    points = (pixels.double().numpy() - 128) / 100
    assert np.array_equal(area_labels(points), data.test_labels.numpy())
    area = np.pi * 1.05**2 / 0.01**2
    assert len(pixels) == pytest.approx(area, rel=0.01)
    assert 0.45 < float(data.test_labels[:500].float().mean()) < 0.55


def test_noise_seldom_leaves_its_area_so_the_task_can_be_learned():
    points, labels = training_points()
    assert (area_labels(points) == labels).mean() > 0.8


def test_codes_keep_every_training_point_within_half_a_step():
    points, labels = training_points()
    back = (codes(points)[:, :, 0, 0].double().numpy() - 128) / 100
    assert np.abs(back - points).max() <= 0.005 + 1e-9
    data = load_dataset("synthetic2d")
    assert data.train_images.shape == (20000, 2, 1, 1)
    assert data.train_images.dtype == torch.uint8
    assert np.array_equal(data.train_labels.numpy(), labels)


def test_the_grid_has_the_open_square_row_by_row_from_the_top():
    points = grid()
    assert points.shape == (99 * 99, 2)
    assert np.allclose(points[0], (0.01, 0.99))
    assert np.allclose(points[-1], (0.99, 0.01))
    quarter = grid((0, 1), (-1, 0))
    assert np.allclose(quarter[0], (0.01, -0.01))

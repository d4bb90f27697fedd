"""The loss that a phase trains with: smoothed labels and weights of classes, by their formulas."""

import math

import pytest
import torch
from data_trees import write_imagenet, write_voc

from qdeploy.data.dataset import Dataset, in_memory
from qdeploy.data.load import load_dataset
from qdeploy.recipe.data import Data
from qdeploy.recipe.loss import Loss
from qdeploy.recipe.models import Recipe
from qdeploy.training.class_weights import balanced, logarithmic
from qdeploy.training.metrics import read_metrics
from qdeploy.training.objective import tally, task_loss, training_loss
from qdeploy.training.train import train

CPU = torch.device("cpu")
WEIGHTS = [0.5, 0.0, 2.0]


def images(labels: list[int]) -> Dataset:
    pixels = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    split = (pixels, torch.tensor(labels))
    return in_memory("made", split, split, ("a", "b", "c"))


def masks(labels: list[list[int]]) -> Dataset:
    one = torch.tensor([labels], dtype=torch.uint8)
    split = (torch.zeros(1, 1, *one.shape[1:], dtype=torch.uint8), one)
    return in_memory("made", split, split, ("a", "b", "c"), void=255)


def by_hand(row: list[float], label: int, smoothing: float, weights: list[float]) -> float:
    total = sum(math.exp(value) for value in row)
    shares = [smoothing / 3 + (1 - smoothing) * (label == c) for c in range(3)]
    return -sum(
        w * p * math.log(math.exp(x) / total) for w, p, x in zip(weights, shares, row, strict=True)
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_loss_of_images_is_that_of_the_formula(smoothing, weights):
    torch.manual_seed(3)
    logits, labels = torch.randn(5, 3), torch.tensor([0, 2, 1, 2, 0])
    settings = Loss(label_smoothing=smoothing, class_weights=weights)
    got = training_loss(images([0, 1, 2]), settings, CPU)(logits, labels).item()
    rows = zip(logits.tolist(), labels.tolist(), strict=True)
    terms = [by_hand(row, label, smoothing, weights or [1.0] * 3) for row, label in rows]
    assert got == pytest.approx(sum(terms) / 5, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_loss_of_pixels_is_that_of_the_formula_without_void(smoothing, weights):
    torch.manual_seed(3)
    logits = torch.randn(1, 3, 2, 3)
    labels = [[0, 2, 255], [1, 2, 255]]
    settings = Loss(label_smoothing=smoothing, class_weights=weights)
    got = training_loss(masks(labels), settings, CPU)(logits, torch.tensor([labels])).item()
    terms = [
        by_hand(logits[0, :, y, x].tolist(), labels[y][x], smoothing, weights or [1.0] * 3)
        for y in range(2)
        for x in range(2)
    ]
    assert got == pytest.approx(sum(terms) / 4, rel=1e-5)


def test_an_image_with_shares_of_two_classes_has_the_shares_of_their_losses():
    torch.manual_seed(3)
    logits, shares = torch.randn(2, 3), torch.tensor([[0.75, 0.0, 0.25], [0.0, 1.0, 0.0]])
    loss = training_loss(
        images([0, 1, 2]), Loss(label_smoothing=0.3, class_weights=[0.5, 3.0, 2.0]), CPU
    )
    first, second, third = (
        loss(logits[n : n + 1], torch.tensor([label])).item()
        for n, label in ((0, 0), (0, 2), (1, 1))
    )
    wanted = (0.75 * first + 0.25 * second + third) / 2
    assert loss(logits, shares).item() == pytest.approx(wanted, rel=1e-5)
    counted = tally(images([0, 1, 2]))
    counted.add(torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]]), shares)
    assert counted.score().accuracy == 0.5  # the larger share of the first is class 0


def test_a_plain_loss_has_the_bits_of_a_loss_without_options():
    logits, labels = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    plain = training_loss(images([0, 1, 2]), Loss(), CPU)(logits, labels)
    assert torch.equal(plain, torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize("weights", [WEIGHTS, "balanced", "logarithmic"])
def test_the_losses_of_equal_parts_average_to_that_of_the_whole(weights):
    """Whatever classes a part has: parts and processes are weighted by their numbers of images."""
    data = images([0, 0, 0, 0, 1, 2])
    loss = training_loss(data, Loss(class_weights=weights), CPU)
    logits, labels = torch.randn(6, 3, dtype=torch.float64).float(), data.train_labels
    parts = [loss(logits[i : i + 3], labels[i : i + 3]).item() for i in (0, 3)]
    assert sum(parts) / 2 == pytest.approx(loss(logits, labels).item(), rel=1e-5)


def test_balanced_weights_follow_the_labels_and_average_to_one():
    assert balanced(images([0, 0, 0, 1, 1, 2])) == [6 / 9, 6 / 6, 6 / 3]
    assert balanced(images([0, 0, 0, 2])) == [4 / 6, 0.0, 4 / 2]
    assert balanced(masks([[1, 1, 255], [1, 0, 255]])) == [4 / 2, 4 / 6, 0.0]


def test_logarithmic_weights_are_those_of_enet_with_mean_one():
    weights = logarithmic(images([0, 0, 0, 2]))
    assert weights[1] == 0
    assert weights[2] / weights[0] == pytest.approx(math.log(1.02 + 0.75) / math.log(1.02 + 0.25))
    assert 0.75 * weights[0] + 0.25 * weights[2] == pytest.approx(1)
    rare = images([0] * 999 + [1])
    assert logarithmic(rare)[1] / logarithmic(rare)[0] < 36 < balanced(rare)[1] / balanced(rare)[0]


def test_labels_are_counted_without_augmentation_in_sets_of_files(tmp_path):
    write_imagenet(tmp_path, classes=3, train=7)
    write_voc(tmp_path)
    for given in ({"name": "imagenet", "classes": 3}, {"name": "voc2012"}):
        settings = {**given, "partial": True, "image_size": 48}
        data = load_dataset(Data.model_validate(settings), tmp_path)
        _, labels = data.train.read(range(len(data.train)))
        wanted = [int((labels == label).sum()) for label in range(len(data.classes))]
        assert data.train.label_counts(len(data.classes)).tolist() == wanted
        assert sum(count > 0 for count in wanted) > 1


def test_evaluation_knows_nothing_of_the_training_loss():
    logits, labels = torch.randn(7, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    data = images([0, 0, 1, 2])
    trained = training_loss(data, Loss(label_smoothing=0.5, class_weights="balanced"), CPU)
    assert trained(logits, labels).item() != pytest.approx(task_loss(data, logits, labels).item())


def test_a_phase_trains_with_its_own_loss(recipe, tmp_path):
    phases = [phase.model_dump() for phase in recipe.phases[:2]]
    losses = []
    for loss in ({}, {"label_smoothing": 0.5}, {"class_weights": [10.0] * 10}):
        phases[0]["loss"] = loss
        one = {**recipe.model_dump(), "phases": phases, "training": {"threads": 1, "epochs": 1}}
        rows = read_metrics(train(Recipe.model_validate(one), tmp_path / str(len(losses))))
        losses.append(rows[0].loss)
    plain, smoothed, weighted = losses
    assert plain < smoothed < 2.5 < weighted

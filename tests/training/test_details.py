"""The test set by class in a run's summary, and epochs with as many images of each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.report.classes import sentence
from qdeploy.training.batches import Batching, balanced_order, training_batches
from qdeploy.training.run import load_run, read_summary
from qdeploy.training.train import train

RECIPE = """\
name: rare
network: {type: fcdnn, width: 16, depth: 1}
quantization: {weight_bits: 4, activation_bits: 4}
data: {name: arrays, path: a.npz, batch_size: 32, validation: 0, sampling: balanced}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 3, optimizer: {lr: 0.05}}
  - {name: retrain, kind: retrain, epochs: 3, optimizer: {lr: 0.01}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    labels = (np.arange(400) % 10 == 0).astype(int)
    values = random.normal(size=(400, 4)) + 1.2 * labels[:, None]
    np.savez(tmp_path / "a.npz", x=values, y=labels)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_the_summary_has_the_test_set_by_class(recipe: Path, tmp_path: Path) -> None:
    from sklearn import metrics

    folder = train(load_recipe(recipe), tmp_path / "run", tmp_path)
    summary = read_summary(folder)
    assert summary is not None
    found = summary["by_class"]
    run = load_run(folder)
    data = run.dataset(tmp_path)
    with torch.no_grad():
        logits = run.network(data.test_images.float() / 256)
    labels, said = data.test_labels.numpy(), logits.argmax(1).numpy()
    assert found["confusion"] == metrics.confusion_matrix(labels, said).tolist()
    assert found["balanced_accuracy"] == metrics.balanced_accuracy_score(labels, said)
    assert found["f1"] == list(metrics.f1_score(labels, said, average=None))
    margins = (logits[:, 1] - logits[:, 0]).double()
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, margins))
    assert found["accuracy"] == summary["accuracy"]
    assert "area under the ROC curve" in sentence(found)


def test_an_epoch_has_as_many_images_of_each_class(recipe: Path, tmp_path: Path) -> None:
    loaded = load_recipe(recipe)
    from qdeploy.data.load import load_dataset

    data = load_dataset(loaded.data, tmp_path)
    batching = Batching.of(loaded)
    seen = [labels for _, labels in training_batches(data, batching, 0, 0)]
    assert [part.bincount().tolist() for part in seen] == [[16, 16]] * 10
    again = [labels for _, labels in training_batches(data, batching, 0, 0)]
    assert all(one.equal(other) for one, other in zip(seen, again, strict=True))


def test_images_of_a_small_class_come_equally_often() -> None:
    labels = torch.tensor([0] * 30 + [1] * 3 + [4] * 7)
    order = balanced_order(labels, torch.Generator().manual_seed(0))
    assert len(order) == 40
    assert labels[order].bincount()[[0, 1, 4]].tolist() in (
        [13, 13, 14],
        [13, 14, 13],
        [14, 13, 13],
    )
    times = order.bincount(minlength=40)
    assert times[:30].max() == 1
    assert set(times[30:33].tolist()) <= {4, 5}
    assert order.tolist() != balanced_order(labels, torch.Generator().manual_seed(1)).tolist()


def test_numbers_and_masks_have_no_classes_to_balance(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="is for images of one class each"):
        load_recipe(recipe, ["data.task=regression"])

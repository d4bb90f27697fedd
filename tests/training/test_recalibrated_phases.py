"""Batch norm at the end of a phase: statistics of the network as it is, not of those before."""

from functools import partial

import pytest
import torch

from qdeploy.data.holdout import with_validation
from qdeploy.data.load import load_dataset
from qdeploy.recipe.models import Recipe
from qdeploy.training.batches import Batching
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.evaluate import measure
from qdeploy.training.methods.recalibrate import (
    JUDGED_SHARE,
    recalibrate,
    recalibration_batches,
)
from qdeploy.training.metrics import read_metrics
from qdeploy.training.quantize import trainable
from qdeploy.training.run import MODEL
from qdeploy.training.state import restore_network
from qdeploy.training.train import train
from qdeploy.training.workers import ALONE

END = "checkpoints/phase01-epoch00003.safetensors"
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def with_images(recipe: Recipe, images: int, phases: int = 2) -> Recipe:
    found = [phase.model_dump() for phase in recipe.phases[:phases]]
    for phase in found:
        phase["recalibrate"] = images
    return Recipe.model_validate({**recipe.model_dump(), "phases": found})


def test_a_phase_ends_with_statistics_of_its_last_weights(recipe, tmp_path):
    made = {}
    for images in (0, 640):
        made[images] = read_tensors(
            train(with_images(recipe, images), tmp_path / str(images)) / END
        )[0]
    changed = {name for name, value in made[0].items() if not torch.equal(value, made[640][name])}
    assert changed
    assert all(name.endswith(STATISTICS) for name in changed)  # nothing else
    network = trainable(recipe, quantized=True)
    restore_network(network, made[0])
    data = load_dataset(recipe.data)
    batches = partial(recalibration_batches, data, Batching.of(recipe), (1, 3), 640, ALONE)
    assert recalibrate(network, batches) == 640
    for name, value in network.state_dict().items():
        assert torch.equal(value, made[640][f"network/{name}"]), name


def test_float_training_keeps_its_moving_averages(recipe, tmp_path):
    ends = [
        read_tensors(
            train(with_images(recipe, images), tmp_path / str(images))
            / "checkpoints/phase00-epoch00002.safetensors"
        )[0]
        for images in (0, 640)
    ]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_a_run_interrupted_before_the_last_epoch_ends_with_the_same_bits(
    recipe, tmp_path, interrupt_when
):
    wanted = with_images(recipe, 640, 3)
    whole = train(wanted, tmp_path / "whole")
    folder = tmp_path / "broken"
    interrupt_when(folder / "checkpoints" / "phase01-epoch00002.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, folder)
    train(wanted, folder, resume=True)
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()


def test_an_earlier_epoch_that_is_kept_gets_statistics_of_its_weights(recipe, tmp_path):
    """The rate rises to where the network is lost: the last epoch is not the best."""
    values = with_images(recipe, 640).model_dump()
    values["data"]["validation"] = 0.2
    values["phases"][1].update(
        epochs=5, warmup_epochs=4, optimizer={"lr": 4.0}, schedule={"type": "constant"}, lipschitz=0
    )
    wanted = Recipe.model_validate(values)
    folder = train(wanted, tmp_path / "run")
    assert read_metrics(folder)[-1].kept_epoch < 5
    kept, _ = read_tensors(folder / "checkpoints/phase01-epoch00005.safetensors")
    network = trainable(wanted, quantized=True)
    restore_network(network, kept)
    data = with_validation(load_dataset(wanted.data), 0.2, wanted.seed)
    batches = partial(recalibration_batches, data, Batching.of(wanted), (1, 5), 640, ALONE)
    assert recalibrate(network, batches) == 640
    for name, value in network.state_dict().items():
        assert torch.equal(value, kept[f"network/{name}"]), name


def test_an_epoch_is_judged_by_statistics_of_its_weights(recipe, tmp_path, interrupt_when):
    """On as many images as a tenth of the time of training allows."""
    values = with_images(recipe, 640).model_dump()
    values["data"]["validation"] = 0.2
    wanted = Recipe.model_validate(values)
    folder = tmp_path / "run"
    interrupt_when(folder / "checkpoints" / "phase01-epoch00002.json")
    with pytest.raises(KeyboardInterrupt):
        train(wanted, folder)
    saved, _ = read_tensors(folder / "checkpoints/phase01-epoch00002.safetensors")
    network = trainable(wanted, quantized=True)
    restore_network(network, saved)
    data = with_validation(load_dataset(wanted.data), 0.2, wanted.seed)
    norms = sum(name.endswith("running_mean") for name in network.state_dict())
    images = int(JUDGED_SHARE * len(data.train) / norms)
    assert 0 < images < 640
    place = (1, wanted.epochs_of(wanted.phases[1]))
    batching = Batching.of(wanted)
    recalibrate(network, partial(recalibration_batches, data, batching, place, images, ALONE))
    for name, value in network.state_dict().items():
        assert torch.equal(value, saved[f"network/{name}"]), name
    row = next(row for row in read_metrics(folder) if (row.phase_index, row.epoch) == (1, 2))
    score = measure(network, data, batching, split=data.validation)
    assert row.validation_accuracy == score.accuracy

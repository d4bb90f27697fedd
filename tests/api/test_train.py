"""A module and a torch Dataset through the trainer, to a run that needs neither again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from float_networks import Mlp, Resnet, Series
from torch import nn
from torch.utils.data import Dataset, TensorDataset

import qdeploy
from qdeploy.data.given_frames import GivenFrames
from qdeploy.errors import CheckpointError, DataError, RecipeError, UnsupportedLayerError, UserError
from qdeploy.training.float_network import load_float
from qdeploy.training.run import load_run, read_summary

RECIPE = "quickstart/digits_fcdnn_w2a2"
SHORT = (
    "training.epochs=1",
    "quantization.activation_bits=4",
    "quantization.weight_bits=4",
    "quantization.input_bits=8",
)
NOTHING = ("qonnx", "dataflow", "memories", "layer", "rtl", "netlist")


def images(count: int = 250) -> TensorDataset:
    """Five classes of bright corners and centres, in bytes."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 5
    frames = torch.randint(0, 128, (count, 3, 12, 12), generator=random).to(torch.uint8)
    corners = ((0, 0), (0, 6), (6, 0), (6, 6), (3, 3))
    for frame, label in zip(frames, labels, strict=True):
        top, left = corners[int(label)]
        frame[:, top : top + 6, left : left + 6] += 100
    return TensorDataset(frames, labels)


def trained(module: nn.Module, data: object, out: Path, *overrides: str, **options: Any) -> Path:
    return qdeploy.train(module, data, RECIPE, out=out, overrides=(*SHORT, *overrides), **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "corners"
    return trained(Resnet(), (images(), images(60)), folder, "training.epochs=4")


def test_the_run_is_whole_without_module_and_data_set(run: Path, tmp_path: Path) -> None:
    summary = read_summary(run)
    assert summary is not None and summary["accuracy"] > 0.5
    loaded = load_run(run)
    assert loaded.network.layer1 is not None and len(loaded.dataset().test) == 60
    build = qdeploy.export(
        run, out=tmp_path / "built", synthesis=False, fifo_depths="analytic", skip=NOTHING
    )
    frames, labels = images(60).tensors
    simulated = qdeploy.simulate(build)
    assert simulated.metrics["accuracy"] == summary["accuracy"]
    again = qdeploy.simulate(build, frames.float() / 256, labels)
    assert np.array_equal(again.classes, simulated.classes)


def test_training_starts_from_the_weights_of_the_module(tmp_path: Path) -> None:
    slow = ("phases.0.optimizer.lr=1e-9", "phases.1.optimizer.lr=1e-9")
    torch.manual_seed(3)
    module = Resnet()
    network = load_run(trained(module, images(), tmp_path / "run", *slow)).network
    assert torch.allclose(network.fc.weight, module.fc.weight, atol=1e-3)  # type: ignore[union-attr]
    with pytest.raises(CheckpointError, match="different recipe"):
        trained(Resnet(), images(), tmp_path / "run", *slow)
    assert trained(module, images(), tmp_path / "run", *slow) == tmp_path / "run"


@pytest.mark.parametrize(("make", "shape"), [(Mlp, (9,)), (Series, (2, 24))])
def test_vectors_and_series_of_real_numbers(
    make: type[nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    labels = torch.arange(120) % 5
    frames = torch.randn(120, *shape) * 3 + labels.reshape(-1, *([1] * len(shape)))
    run = trained(make(), TensorDataset(frames, labels), tmp_path / "run")
    build = qdeploy.export(
        run, out=tmp_path / "built", synthesis=False, fifo_depths="analytic", skip=NOTHING
    )
    classes = qdeploy.load(build).run(frames).argmax(1)
    given = GivenFrames(frames.numpy())
    assert given.values.shape == (120, *shape) and classes.shape == (120,)
    summary = read_summary(run)
    assert summary is not None
    assert qdeploy.simulate(build).metrics["accuracy"] == summary["accuracy"]
    assert qdeploy.quantize(run, 8)(frames[:2].reshape(2, *run_shape(run)) / 64).shape == (2, 5)


def run_shape(run: Path) -> tuple[int, int, int]:
    shape, _ = load_run(run).recipe.data.facts()
    assert shape is not None
    return shape


def test_a_recipe_says_how_real_numbers_become_codes(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "name: own\nnetwork: {type: fcdnn}\nquantization: {input_bits: 4}\n"
        "data: {name: torch, scaling: standard, signed: true}\nphases:\n"
        "  - {name: float, kind: pretrain, epochs: 1, optimizer: {lr: 0.05}}\n"
        "  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}\n",
        encoding="utf-8",
    )
    labels = torch.arange(120) % 5
    frames = torch.randn(120, 2, 24, generator=torch.Generator().manual_seed(0)) * 3
    frames += labels.reshape(-1, 1, 1)
    run = qdeploy.train(Series(), TensorDataset(frames, labels), path, out=tmp_path / "run")
    scaling = load_run(run).scaling
    assert scaling is not None and scaling.mean is not None
    assert (scaling.bits, scaling.signed, len(scaling.mean)) == (4, True, 2)
    build = qdeploy.export(
        run, out=tmp_path / "built", synthesis=False, fifo_depths="analytic", skip=NOTHING
    )
    summary = read_summary(run)
    assert summary is not None
    assert qdeploy.simulate(build).metrics["accuracy"] == summary["accuracy"]
    with pytest.raises(UserError, match="codes of both signs"):
        qdeploy.quantize(run, 8)


def test_numbers_to_predict(tmp_path: Path) -> None:
    torch.manual_seed(2)
    frames = torch.rand(300, 6)
    targets = torch.stack([100 + 30 * frames[:, 0], frames[:, 1] - frames[:, 2]], dim=1)
    net = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 2))
    run = trained(
        net,
        TensorDataset(frames, targets),
        tmp_path / "run",
        "training.epochs=8",
        task="regression",
    )
    summary = read_summary(run)
    assert summary is not None and summary["r2"] > 0.5
    build = qdeploy.export(
        run, out=tmp_path / "built", synthesis=False, fifo_depths="analytic", skip=NOTHING
    )
    found = qdeploy.load(build).run(frames)
    assert np.abs(found[:, 0] - targets[:, 0].numpy()).mean() < 10


class Broken(Dataset[Any]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(3, 12, 12), 0.5


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not take the example"):
        trained(Mlp(), images(), tmp_path / "run")
    with pytest.raises(DataError, match="`dataset` is no data set"):
        trained(Resnet(), Broken(), tmp_path / "run")
    with pytest.raises(UnsupportedLayerError, match="GELU"):
        trained(nn.Sequential(nn.Conv2d(3, 5, 12), nn.GELU(), nn.Flatten()), images(), tmp_path)
    with pytest.raises(RecipeError, match="in 5 classes"):
        few = nn.Sequential(nn.Flatten(), nn.Linear(432, 3))
        trained(few, images(), tmp_path / "run")
    with pytest.raises(RecipeError, match="no recipe `nowhere"):
        qdeploy.train(Resnet(), images(), "nowhere", out=tmp_path / "run")
    assert not (tmp_path / "run" / "summary.json").exists()


def test_the_float_network_of_a_run_is_quantized_again_with_its_own_images(run: Path) -> None:
    module = qdeploy.quantize(run, 8)
    frames, _ = images(60).tensors
    _, floating = load_float(run)
    with torch.no_grad():
        found, expected = (one.eval()(frames.float() / 256) for one in (module, floating))
    assert float((found - expected).abs().max()) < 0.1 * float(expected.abs().max())
    with pytest.raises(UserError, match="is a file"):
        qdeploy.quantize(run / "recipe.yaml", 8)
    with pytest.raises(CheckpointError, match="is not a run folder"):
        qdeploy.quantize(run / "nowhere", 8)
    with pytest.raises(UserError, match="there is no example"):
        qdeploy.quantize(Resnet(), 8)

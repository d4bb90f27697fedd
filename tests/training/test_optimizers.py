"""Optimizers: their formulas, the limit of the gradient's norm, and what a checkpoint keeps."""

from pathlib import Path

import pytest
import torch
from torch import nn

from qdeploy.errors import CheckpointError
from qdeploy.observer import Observer
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.optimizer import Optimizer
from qdeploy.recipe.training import Training
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.quantize import trainable
from qdeploy.training.run import MODEL
from qdeploy.training.state import collect, make_optimizer, restore_training
from qdeploy.training.train import train

NESTEROV = {"type": "sgd", "lr": 0.05, "nesterov": True}
ADAM = {"type": "adam", "lr": 2e-3, "weight_decay": 1e-3}
ADAMW = {"type": "adamw", "lr": 2e-3, "weight_decay": 1e-2, "beta2": 0.99}


def small(recipe: Recipe, **phase: object) -> Recipe:
    """Two phases of two epochs, in a tenth of a second each."""
    phases = [
        {"name": "float", "kind": "pretrain", "epochs": 2, **phase},
        {"name": "retrain", "kind": "retrain", "epochs": 2, **phase},
    ]
    network = {"type": "fcdnn", "width": 8, "depth": 1}
    data = {"name": "digits", "batch_size": 180}
    return Recipe.model_validate(
        {**recipe.model_dump(), "network": network, "data": data, "phases": phases}
    )


def stepped(settings: dict[str, object], gradients: list[float], start: float = 1.0) -> list[float]:
    """A weight and a bias of `start` after steps with these gradients."""
    layer = nn.Linear(1, 1)
    optimizer = make_optimizer(layer, Optimizer.model_validate(settings))
    with torch.no_grad():
        layer.weight.fill_(start)
        layer.bias.fill_(start)
    for gradient in gradients:
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return [layer.weight.item(), layer.bias.item()]


def test_nesterov_looks_one_momentum_ahead():
    got = stepped({"lr": 0.1, "momentum": 0.5, "nesterov": True}, [1.0, 2.0])
    # v = 1, then 0.5 · 1 + 2; a step is lr · (g + 0.5 · v).
    assert got == pytest.approx([1 - 0.1 * (1 + 0.5) - 0.1 * (2 + 0.5 * 2.5)] * 2)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_divides_by_the_root_of_the_mean_square(kind):
    settings = {"type": kind, "lr": 0.1, "beta1": 0.8, "beta2": 0.9, "epsilon": 0.5}
    mean, square = 0.8 * 0.2 * 1 + 0.2 * 3, 0.9 * 0.1 * 1 + 0.1 * 9
    second = (mean / (1 - 0.64)) / ((square / (1 - 0.81)) ** 0.5 + 0.5)
    assert stepped(settings, [1.0, 3.0]) == pytest.approx([1 - 0.1 / 1.5 - 0.1 * second] * 2)


def test_decay_is_of_weights_only_and_apart_from_the_gradient_in_adamw():
    decay = {"lr": 0.1, "weight_decay": 0.5}
    assert stepped({"type": "adamw", **decay}, [0.0]) == pytest.approx([1 - 0.1 * 0.5, 1])
    # Adam has made a unit step of it.
    assert stepped({"type": "adam", **decay}, [0.0]) == pytest.approx([1 - 0.1, 1])


@pytest.mark.parametrize("parts", [1, 4])
def test_a_clipped_gradient_has_the_norm_of_the_limit_and_its_direction(recipe, tmp_path, parts):
    """One step an epoch, of rate 1 without momentum, is the gradient itself."""
    steps = []
    for limit in (0.0, 1e-3):
        one = small(recipe, optimizer={"lr": 1.0, "momentum": 0.0}, clip_norm=limit)
        data = {**one.data.model_dump(), "batch_size": 1436}
        training = {"threads": 1, "accumulate": parts, "epochs": 1}
        one = Recipe.model_validate({**one.model_dump(), "data": data, "training": training})
        with torch.random.fork_rng():
            torch.manual_seed(one.seed)
            before = dict(trainable(one, quantized=False).named_parameters())
        folder = train(one, tmp_path / str(limit))
        tensors, _ = read_tensors(folder / "checkpoints" / "phase00-epoch00001.safetensors")
        moved = [tensors[f"network/{name}"] - value.detach() for name, value in before.items()]
        steps.append(torch.cat([part.flatten() for part in moved]).double())
    whole, clipped = steps
    assert whole.norm() > 0.1
    assert clipped.norm().item() == pytest.approx(1e-3, rel=1e-3)
    assert float(whole @ clipped / whole.norm() / clipped.norm()) > 1 - 1e-6


class StoppedError(Exception):
    """Ends a training between two epochs."""


def stopped_after(epochs: int) -> Observer:
    heard = []

    def note(sentence: str) -> None:
        if ": loss " in sentence:
            heard.append(sentence)
        if len(heard) == epochs:
            raise StoppedError

    return Observer(note)


def resumed(recipe: Recipe, folder: Path, epochs: int) -> bytes:
    with pytest.raises(StoppedError):
        train(recipe, folder, observer=stopped_after(epochs))
    train(recipe, folder, resume=True)
    return (folder / MODEL).read_bytes()


@pytest.mark.parametrize("optimizer", [NESTEROV, ADAM, ADAMW], ids=["nesterov", "adam", "adamw"])
def test_a_training_goes_on_after_any_epoch_with_the_same_bits(recipe, tmp_path, optimizer):
    one = small(
        recipe,
        optimizer=optimizer,
        schedule={"type": "cosine"},
        warmup_epochs=1,
        clip_norm=0.5,
        loss={"label_smoothing": 0.1, "class_weights": "balanced"},
        cutout=3,
        mixup=0.4,
    )
    one = one.model_copy(update={"training": Training(threads=1, accumulate=2)})
    whole = (train(one, tmp_path / "whole") / MODEL).read_bytes()
    for epochs in (1, 2, 3):
        assert resumed(one, tmp_path / str(epochs), epochs) == whole


def trained_once(settings: dict[str, object]) -> tuple[nn.Module, torch.optim.Optimizer]:
    layer = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(layer, Optimizer.model_validate(settings))
    layer(torch.randn(4, 2, 5, 5)).square().sum().backward()
    optimizer.step()
    return layer, optimizer


@pytest.mark.parametrize("settings", [NESTEROV, ADAM, ADAMW], ids=["nesterov", "adam", "adamw"])
def test_the_state_of_every_parameter_comes_back(settings):
    layer, optimizer = trained_once(settings)
    tensors = collect(layer.state_dict(), dict(layer.named_parameters()), optimizer)
    other = make_optimizer(layer, Optimizer.model_validate(settings))
    restore_training(layer, other, tensors)
    for parameter in layer.parameters():
        state, wanted = other.state[parameter], optimizer.state[parameter]
        assert state.keys() == wanted.keys()
        for key, value in wanted.items():
            assert torch.equal(state[key], value)
            assert state[key].stride() == value.stride()
    names = {name.split("/")[0] for name in tensors} - {"network", "random"}
    assert names == ({"momentum"} if settings is NESTEROV else {"exp_avg", "exp_avg_sq", "step"})


@pytest.mark.parametrize("lost", ["exp_avg/weight", "exp_avg_sq/weight", "step/weight"])
def test_a_checkpoint_without_a_part_of_adams_state_is_refused(lost):
    layer, optimizer = trained_once(ADAM)
    tensors = collect(layer.state_dict(), dict(layer.named_parameters()), optimizer)
    del tensors[lost]
    with pytest.raises(CheckpointError, match="not those of the recipe's network") as caught:
        restore_training(layer, optimizer, tensors)
    assert lost in (caught.value.why or "")

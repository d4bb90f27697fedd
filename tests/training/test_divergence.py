"""Which layer broke first, from networks broken on purpose."""

import pytest
import torch
from torch import nn

from qdeploy.errors import TrainingError
from qdeploy.recipe.models import Recipe
from qdeploy.training.checkpoints import read_tensors
from qdeploy.training.divergence import (
    FiniteChecks,
    cause,
    first_divergent,
)
from qdeploy.training.phase import PhaseTrainer
from qdeploy.training.train import train


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = {
        "one": nn.Linear(4, 4),
        "norm1": nn.BatchNorm1d(4),
        "two": nn.Linear(4, 4),
        "norm2": nn.BatchNorm1d(4),
        "head": nn.Linear(4, 2),
    }
    made = nn.Sequential()
    for name, layer in layers.items():
        made.add_module(name, layer)
    return made


def test_a_healthy_network_has_no_cause_but_its_largest_weights():
    healthy = network()
    healthy(torch.randn(8, 4)).sum().backward()
    assert FiniteChecks(healthy).statistic() is None
    assert FiniteChecks(healthy).gradient() is None
    assert first_divergent(healthy, torch.randn(8, 4)) is None
    healthy.two.weight.data[0, 0] = 77.0
    assert cause(healthy, None) == "the largest weights, 77, are those of `two`"


def test_the_first_layer_in_execution_order_is_named_with_what_broke():
    broken = network()
    broken.norm2.running_var[1] = torch.inf
    broken.head.weight.data[0] = torch.nan
    found = first_divergent(broken, torch.randn(8, 4))
    assert found is not None
    assert found[1:] == ("norm2", "its running variance")
    assert FiniteChecks(broken).statistic() == "running variance of `norm2`"
    broken.one.weight.data[0, 0] = torch.inf
    assert first_divergent(broken, torch.randn(8, 4))[1:] == ("one", "its weight")


def test_an_output_that_overflows_is_found_after_finite_weights():
    broken = network()
    broken.two.weight.data.fill_(1e38)
    found = first_divergent(broken, torch.randn(8, 4) * 100)
    assert found[1:] == ("two", "its output")


def test_a_gradient_is_traced_to_the_layer_nearest_to_the_output():
    broken = network()
    y = broken.two(broken.norm1(broken.one(torch.randn(8, 4))))
    z = broken.head(broken.norm2(y))
    # The gradient of a square root at 0 is infinite; what comes before it turns into NaN.
    ((y * 0).sqrt().sum() + z.sum()).backward()
    assert FiniteChecks(broken).gradient() == "gradient of `two`"


def test_large_finite_gradients_are_no_divergence():
    large = network()
    for parameter in large.parameters():
        parameter.grad = torch.full_like(parameter, 1e30)
    assert FiniteChecks(large).gradient() is None


@pytest.mark.parametrize("part", ["statistics", "gradient"])
def test_the_step_stops_before_the_optimizer_takes_it_in(recipe, tmp_path, monkeypatch, part):
    """A fault is put into one step of a real training: hidden1 breaks at step 30, epoch 2."""
    taken = []
    whole = PhaseTrainer._step

    def step(self, inputs, labels, moment, counted):
        if self.index == 1 and moment.step == 30:
            if part == "statistics":
                self.network.hidden1.norm.running_var[0] = torch.inf
            else:
                self.network.hidden1.fc.weight.register_hook(lambda g: g * torch.nan)
            taken.append(self.network.hidden1.fc.weight.detach().clone())
        result = whole(self, inputs, labels, moment, counted)
        assert not taken
        return result

    monkeypatch.setattr(PhaseTrainer, "_step", step)
    with pytest.raises(TrainingError, match="is no longer a finite number") as caught:
        train(recipe, tmp_path / "run")
    assert caught.value.where == "phase retrain, epoch 2, step 31"
    what = "running variance of `hidden1.norm`" if part == "statistics" else "of `hidden1.fc`"
    assert what in caught.value.what
    kept = tmp_path / "run" / "checkpoints" / "phase01-epoch00001.safetensors"
    assert str(kept) in (caught.value.do or "")
    tensors, _ = read_tensors(kept)
    assert all(torch.isfinite(value).all() for value in tensors.values())
    monkeypatch.setattr(PhaseTrainer, "_step", whole)
    train(recipe, tmp_path / "run", resume=True)


def test_a_diverging_training_says_so_in_its_first_epoch(recipe, tmp_path):
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1]["optimizer"] = {"lr": 100.0, "weight_decay": 1.0}
    wild = Recipe.model_validate({**recipe.model_dump(), "phases": phases})
    with pytest.raises(TrainingError) as caught:
        train(wild, tmp_path / "run")
    assert (caught.value.where or "").startswith("phase retrain, epoch 1, step ")


def test_the_terms_own_runaway_is_named(recipe, tmp_path):
    """L_Lip's gradient is cubic: weights beyond a thousand grow in every step."""
    phases = [phase.model_dump() for phase in recipe.phases]
    phases[1].update(optimizer={"lr": 0.1}, lipschitz=10.0)
    with pytest.raises(TrainingError) as caught:
        train(Recipe.model_validate({**recipe.model_dump(), "phases": phases}), tmp_path / "run")
    assert "10·L_Lip grows with the cube of the weights" in (caught.value.why or "")

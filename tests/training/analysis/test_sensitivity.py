"""Sensitivities of layers: known ones, and those of a trained network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import train_tiny
from torch import nn

from qdeploy.data.load import load_dataset
from qdeploy.errors import RecipeError, UserError
from qdeploy.recipe.layer_widths import Operand, with_widths
from qdeploy.training.analysis.sensitivity import hessian_sensitivities, noise_sensitivities
from qdeploy.training.candidate_widths import CandidateWidths, candidate_widths, measured
from qdeploy.training.float_network import load_float

WIDTHS = (2, 3, 4, 8)


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> CandidateWidths:
    run = train_tiny(tmp_path_factory.mktemp("runs") / "tiny", "training.epochs=8")
    recipe, network = load_float(run)
    return candidate_widths(recipe, network, load_dataset(recipe.data), WIDTHS)


class Rounded(nn.Linear):
    """A layer with weights rounded to a step."""

    def quant_weight(self) -> torch.Tensor:
        return (self.weight / 0.5).round() * 0.5


def test_a_quadratic_loss_rises_by_the_hessian_measure_exactly() -> None:
    layer = nn.Linear(4, 3, bias=False)
    rounded = Rounded(4, 3, bias=False)
    rounded.load_state_dict(layer.state_dict())
    # Each image is a unit vector of length 2, so the Hessian by the weights is the identity.
    images = 2 * torch.eye(4)[:, None, None, :]

    class Flat(nn.Module):
        def __init__(self, fc: nn.Linear) -> None:
            super().__init__()
            self.fc = fc

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.fc(x.flatten(1))
            return y

    def loss(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return 0.5 * (outputs - wanted).square().sum(dim=1).mean()

    network, operand = Flat(layer), Operand("fc", "weight_bits")
    labels = network(images).detach()  # the network is at the minimum
    found = hessian_sensitivities(
        network, {3: Flat(rounded)}, [operand], images, labels, loss=loss, probes=1
    )
    with torch.no_grad():
        error = float((rounded.quant_weight() - layer.weight).double().square().sum())
    assert found[operand][3] == pytest.approx(0.5 * error, rel=1e-6)


def test_noise_falls_with_every_bit_and_leaves_the_network_alone(candidates) -> None:
    network = candidates.float_network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    dataset = load_dataset(candidates.recipe.data)
    found = measured(candidates, dataset, "noise", images=200)
    assert [operand.layer for operand in found] == [
        "hidden1.fc",
        "hidden1.act",
        "hidden2.fc",
        "hidden2.act",
        "head",
    ]
    for by_width in found.values():
        assert by_width[2] > by_width[3] > by_width[4] > by_width[8] > 0
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert found == measured(candidates, dataset, "noise", images=200)


def test_noise_is_the_divergence_of_the_logits(candidates) -> None:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 16, (50, 1, 8, 8), generator=generator) / 16
    network, quantized = candidates.float_network, candidates.networks[2]
    head, act = Operand("head", "weight_bits"), Operand("hidden1.act", "activation_bits")
    found = noise_sensitivities(network, {2: quantized}, [head, act], images)
    with torch.no_grad():
        hidden = network.hidden1.norm(network.hidden1.fc(images.flatten(1)))

        def logits(first: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            second = network.hidden2(first)
            return F.linear(second, weight).double().log_softmax(1)

        exact = logits(hidden.relu(), network.head.weight)
        rounded = logits(hidden.relu(), quantized.head.quant_weight())
        coarse = logits(quantized.hidden1.act(hidden), network.head.weight)
    for operand, other in ((head, rounded), (act, coarse)):
        wanted = float((exact.exp() * (exact - other)).sum(dim=1).mean())
        assert found[operand][2] == pytest.approx(wanted, rel=1e-5)


def test_the_hessian_measure_falls_with_the_error_and_depends_on_its_seed(candidates) -> None:
    dataset = load_dataset(candidates.recipe.data)
    found = measured(candidates, dataset, "hessian", images=64, probes=2)
    for by_width in found.values():
        assert by_width[2] > by_width[3] > by_width[4] > by_width[8] > 0
    assert found == measured(candidates, dataset, "hessian", images=64, probes=2)
    assert found != measured(candidates, dataset, "hessian", images=64, probes=2, seed=1)


def test_a_mixture_has_each_operand_at_its_own_width(candidates) -> None:
    widths = dict(zip(candidates.operands, (3, 2, 8, 4, 2), strict=True))
    mixed = candidates.mixed(widths)
    fresh = candidate_widths(
        with_widths(candidates.recipe, widths),
        candidates.float_network,
        load_dataset(candidates.recipe.data),
        (),
    )
    assert dict(fresh.own) == widths
    for name, module in mixed.named_modules():
        operand = next((one for one in widths if one.layer == name), None)
        if operand is not None:
            other = candidates.networks[widths[operand]].get_submodule(name)
            assert all(
                torch.equal(one, two)
                for one, two in zip(module.parameters(), other.parameters(), strict=True)
            )


def test_layers_that_are_not_there_and_float_recipes_are_refused(candidates) -> None:
    recipe, network = candidates.recipe, candidates.float_network
    dataset = load_dataset(recipe.data)
    with pytest.raises(UserError, match=r"matches `hiden1\.fc`; did you mean `hidden1\.fc`\?"):
        candidate_widths(recipe, network, dataset, WIDTHS, ["hiden1.fc"])
    only = candidate_widths(recipe, network, dataset, (2,), ["hidden1.*"])
    assert [one.layer for one in only.operands] == ["hidden1.fc", "hidden1.act"]
    section = recipe.quantization.model_copy(update={"activation_bits": "float"})
    with pytest.raises(RecipeError, match="keeps activations in float"):
        candidate_widths(
            recipe.model_copy(update={"quantization": section}), network, dataset, WIDTHS
        )

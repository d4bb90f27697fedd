"""Weight steps that follow the weights: the formula, even levels, and who follows when."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.entropy import EntropySteps
from qdeploy.quant.quantizers import EntropyScaling, code_range, tensor_quantizer
from qdeploy.quant.starting_scales import set_weight_scales
from qdeploy.recipe.models import Recipe

NETWORK = {"type": "fcdnn", "width": 60, "depth": 4}
PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]


def recipe_of(**quantization: object) -> Recipe:
    settings = {"weight_normalization": "entropy", **quantization}
    return Recipe.model_validate(
        {"name": "x", "network": NETWORK, "quantization": settings, "phases": PHASES}
    )


def steps(network: nn.Module) -> dict[str, torch.Tensor]:
    """Δ of the weights that are followed, by layer."""
    return {
        name: layer.weight_quant.scale().detach()  # type: ignore[union-attr, operator]
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
        and isinstance(tensor_quantizer(layer.weight_quant).scaling_impl, EntropyScaling)
    }


def test_inner_layers_of_few_bits_follow_their_weights() -> None:
    layers = {"hidden3.fc": {"weight_bits": 8}}
    recipe = recipe_of(layers=layers)
    network = build_network(recipe, quantized=True)
    set_weight_scales(network, recipe.quantization)
    assert list(steps(network)) == ["hidden2.fc", "hidden4.fc"]
    for name, step in steps(network).items():
        weight = network.get_submodule(name).weight.detach()  # type: ignore[union-attr, operator]
        assert step.item() == pytest.approx(4 * weight.abs().mean().item() / 3, rel=1e-6)
    EntropySteps(network).follow()
    before = steps(network)
    with torch.no_grad():
        network.hidden2.fc.weight.mul_(5)  # type: ignore[union-attr, operator]
    EntropySteps(network).follow()
    after = steps(network)
    assert after["hidden2.fc"].item() == pytest.approx(5 * before["hidden2.fc"].item(), rel=1e-6)
    assert torch.equal(after["hidden4.fc"], before["hidden4.fc"])


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
@pytest.mark.parametrize("scaling", ["per_layer", "per_channel"])
def test_evenly_distributed_weights_use_every_level_equally(bits: int, scaling: str) -> None:
    recipe = recipe_of(weight_bits=bits, weight_scaling=scaling)
    network = build_network(recipe, quantized=True)
    layer = network.hidden2.fc  # type: ignore[union-attr]
    generator = torch.Generator().manual_seed(0)
    levels = 2**bits - (bits > 1)
    with torch.no_grad():
        shape = layer.weight.shape  # type: ignore[union-attr]
        even = (torch.arange(shape[1]) + 0.5) / shape[1] * 2 - 1
        rows = [even[torch.randperm(shape[1], generator=generator)] * (1 + c) for c in range(60)]
        layer.weight.copy_(torch.stack(rows if scaling == "per_channel" else rows[:1] * 60))  # type: ignore[union-attr, operator]
    EntropySteps(network).follow()
    value = layer.quant_weight().value / layer.weight_quant.scale()  # type: ignore[union-attr, operator]
    codes, counts = value.round().unique(return_counts=True)
    assert len(codes) == levels
    share = counts / counts.sum()
    assert (share - 1 / levels).abs().max() <= 1.01 / 60


def test_a_network_without_them_stays_as_it_is() -> None:
    recipe = recipe_of(weight_normalization="none")
    network = build_network(recipe, quantized=True)
    state = copy.deepcopy(network.state_dict())
    EntropySteps(network).follow()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert code_range(network.hidden2.fc.weight_quant) == (-1, 1)  # type: ignore[union-attr]

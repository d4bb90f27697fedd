"""L_Lip against eq. (8) written out with loops."""

import numpy as np
import pytest
import torch
from torch import nn

from qdeploy.training.lipschitz import LipschitzTerm


class Layers(nn.Module):
    """Kernels with fewer and with more outputs than inputs, and fully connected layers of both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.narrow = nn.Conv2d(3, 5, 3, bias=False)
        self.wide = nn.Conv2d(1, 7, 2, bias=False)
        self.fc = nn.Linear(6, 4)
        self.wide_fc = nn.Linear(3, 8)
        self.norm = nn.BatchNorm2d(4)


def paper(network: nn.Module) -> float:
    """1/2 Σ ||WᵀW - I||² with W of shape (k·k·c_in, c_out), in float64."""
    total = 0.0
    for weight in (network.narrow.weight, network.wide.weight):
        w = weight.detach().double().numpy()
        c_out, c_in, k, _ = w.shape
        W = w.transpose(2, 3, 1, 0).reshape(k * k * c_in, c_out)
        total += 0.5 * np.linalg.norm(W.T @ W - np.eye(c_out), "fro") ** 2
    for weight in (network.fc.weight, network.wide_fc.weight):
        W = weight.detach().double().numpy().T
        total += 0.5 * np.linalg.norm(W.T @ W - np.eye(W.shape[1]), "fro") ** 2
    return float(total)


def test_the_value_is_the_papers():
    network = Layers()
    assert LipschitzTerm(network).value() == pytest.approx(paper(network), rel=1e-5)


def test_the_gradient_is_that_of_the_papers_formula():
    network = Layers().double()
    value = torch.zeros((), dtype=torch.float64)
    layers = (network.narrow, network.wide, network.fc, network.wide_fc)
    for layer in layers:
        W = layer.weight.flatten(1).T
        value = value + 0.5 * (W.T @ W - torch.eye(W.shape[1])).square().sum()
    wanted = torch.autograd.grad(value, [layer.weight for layer in layers])
    for layer in layers[1:]:
        layer.weight.grad = torch.full_like(layer.weight, 7)
    assert float(LipschitzTerm(network).add_gradient(0.25)) == pytest.approx(value.item())
    for layer, gradient in zip(layers, wanted, strict=True):
        before = 0 if layer is layers[0] else 7
        torch.testing.assert_close(
            layer.weight.grad, before + 0.25 * gradient, rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("outputs", [4, 64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_is_that_of_the_value_in_any_memory_format(groups, outputs, layout):
    torch.manual_seed(1)
    layer = nn.Conv2d(8, outputs, (3, 2), groups=groups, bias=False).double()
    layer.to(memory_format=layout)
    layer.weight.grad = torch.zeros_like(layer.weight)
    term = LipschitzTerm(layer)
    term.add_gradient(1.0)
    for place in [(0, 0, 0, 0), (outputs - 1, 8 // groups - 1, 2, 1), (1, 1, 0, 1)]:
        either = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                layer.weight[place] += step
                either.append(term.value())
                layer.weight[place] -= step
        slope = (either[0] - either[1]) / 2e-5
        assert layer.weight.grad[place].item() == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_orthonormal_columns_cost_nothing():
    layer = nn.Linear(9, 4, bias=False)
    nn.init.orthogonal_(layer.weight)
    assert LipschitzTerm(layer).value() == pytest.approx(0, abs=1e-9)


def as_one_group(layer: nn.Conv2d) -> torch.Tensor:
    """The kernel of the convolution without groups that does the same."""
    outputs, inputs = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    dense = torch.zeros(layer.out_channels, layer.in_channels, *layer.kernel_size)
    for group in range(layer.groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = layer.weight.detach()[rows]
    return dense


@pytest.mark.parametrize("groups", [2, 4, 8])
@pytest.mark.parametrize("outputs", [8, 64])
def test_groups_count_as_the_convolution_without_groups_that_does_the_same(groups, outputs):
    torch.manual_seed(0)
    layer = nn.Conv2d(8, outputs, 3, groups=groups, bias=False)
    images = torch.randn(1, 8, 5, 5)
    same = nn.Conv2d(8, outputs, 3, bias=False)
    same.weight = nn.Parameter(as_one_group(layer))
    torch.testing.assert_close(same(images), layer(images))
    assert LipschitzTerm(layer).value() == pytest.approx(LipschitzTerm(same).value(), rel=1e-5)


def test_depthwise_filters_of_norm_one_cost_nothing():
    layer = nn.Conv2d(32, 32, 3, groups=32, bias=False)
    with torch.no_grad():
        layer.weight /= layer.weight.flatten(1).norm(dim=1)[:, None, None, None]
    assert LipschitzTerm(layer).value() == pytest.approx(0, abs=1e-9)


def test_it_reaches_the_float_weights_of_quantized_layers():
    from qdeploy.networks.from_recipe import build_network
    from qdeploy.recipe.models import Recipe

    recipe = Recipe.model_validate(
        {
            "name": "x",
            "network": {"type": "fcdnn", "width": 8, "depth": 1},
            "phases": [
                {"name": "a", "kind": "pretrain", "epochs": 1},
                {"name": "b", "kind": "retrain", "epochs": 1},
            ],
        }
    )
    floating = build_network(recipe, quantized=False)
    quantized = build_network(recipe, quantized=True)
    assert LipschitzTerm(quantized).value() == LipschitzTerm(floating).value()


def three_layers() -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 1), nn.Flatten(), nn.Linear(16, 5))


def test_the_terms_of_the_layers_add_up_and_the_inner_ones_are_without_both_ends():
    network = three_layers()
    terms = LipschitzTerm(network).by_layer()
    assert list(terms) == ["0", "1", "3"]
    assert sum(terms.values()) == pytest.approx(LipschitzTerm(network).value(), rel=1e-6)
    assert LipschitzTerm(network, inner=True).value() == pytest.approx(terms["1"], rel=1e-6)


@pytest.mark.parametrize("inner", [False, True])
def test_the_share_of_the_gradient_is_that_of_the_norms(inner):
    network = three_layers()
    parameters = list(network.parameters())
    term = LipschitzTerm(network, inner=inner)
    assert term.share(0.01, parameters) == 0
    for layer in (network[0], network[1], network[3]):
        layer.weight.grad = torch.zeros_like(layer.weight)
    term.add_gradient(0.01)
    own = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).norm()
    network(torch.randn(3, 2, 4, 4)).square().sum().backward()
    whole = torch.cat([p.grad.flatten() for p in parameters]).norm()
    assert term.share(0.01, parameters) == pytest.approx(float(own / whole), rel=1e-5)


def test_a_network_of_two_layers_has_no_inner_one():
    assert LipschitzTerm(three_layers()[0:1], inner=True).value() == 0

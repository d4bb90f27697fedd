"""L_Lip against eq. (8) written out with loops."""

import numpy as np
import pytest
import torch
from torch import nn

from qdeploy.training.lipschitz import gradient_share, lipschitz_by_layer, lipschitz_term


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
    assert lipschitz_term(network).item() == pytest.approx(paper(network), rel=1e-5)


def test_the_gradient_is_that_of_the_papers_formula():
    network = Layers().double()
    value = torch.zeros((), dtype=torch.float64)
    layers = (network.narrow, network.wide, network.fc, network.wide_fc)
    for layer in layers:
        W = layer.weight.flatten(1).T
        value = value + 0.5 * (W.T @ W - torch.eye(W.shape[1])).square().sum()
    wanted = torch.autograd.grad(value, [layer.weight for layer in layers])
    got = torch.autograd.grad(lipschitz_term(network), [layer.weight for layer in layers])
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_orthonormal_columns_cost_nothing():
    layer = nn.Linear(9, 4, bias=False)
    nn.init.orthogonal_(layer.weight)
    assert lipschitz_term(layer).item() == pytest.approx(0, abs=1e-9)


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
    assert lipschitz_term(layer).item() == pytest.approx(lipschitz_term(same).item(), rel=1e-5)


def test_depthwise_filters_of_norm_one_cost_nothing():
    layer = nn.Conv2d(32, 32, 3, groups=32, bias=False)
    with torch.no_grad():
        layer.weight /= layer.weight.flatten(1).norm(dim=1)[:, None, None, None]
    assert lipschitz_term(layer).item() == pytest.approx(0, abs=1e-9)


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
    assert lipschitz_term(quantized).item() == lipschitz_term(floating).item()


def three_layers() -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 1), nn.Flatten(), nn.Linear(16, 5))


def test_the_terms_of_the_layers_add_up_and_the_inner_ones_are_without_both_ends():
    network = three_layers()
    terms = lipschitz_by_layer(network)
    assert list(terms) == ["0", "1", "3"]
    assert sum(terms.values()) == pytest.approx(lipschitz_term(network).item(), rel=1e-6)
    assert lipschitz_term(network, inner=True).item() == pytest.approx(terms["1"], rel=1e-6)


@pytest.mark.parametrize("inner", [False, True])
def test_the_share_of_the_gradient_is_that_of_the_norms(inner):
    network = three_layers()
    task = network(torch.randn(3, 2, 4, 4)).square().sum()
    (task + 0.01 * lipschitz_term(network, inner=inner)).backward()
    whole = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
    parameters = list(network.parameters())
    own = torch.autograd.grad(lipschitz_term(network, inner=inner), parameters, allow_unused=True)
    norm = torch.cat([one.flatten() for one in own if one is not None]).norm()
    wanted = 0.01 * float(norm / whole)
    assert gradient_share(network, 0.01, inner=inner) == pytest.approx(wanted, rel=1e-5)
    assert gradient_share(three_layers(), 0.01) == 0


def test_a_network_of_two_layers_has_no_inner_one():
    assert lipschitz_term(three_layers()[0:1], inner=True).item() == 0

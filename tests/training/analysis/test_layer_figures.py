"""Spectral norms, sizes, operations and flatness against figures worked out by other means."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.recipe.models import Recipe
from qdeploy.training.analysis.flatness import flatness
from qdeploy.training.analysis.report import compare_family
from qdeploy.training.analysis.size import effective_compression, size
from qdeploy.training.analysis.spectral import layer_norms, spectral_norm
from qdeploy.training.analysis.trace import weight_layers


@pytest.fixture(scope="module")
def network() -> nn.Module:
    stages = [{"channels": 6}, {"channels": 8, "stride": 2, "pool": 2}]
    recipe = {
        "name": "x",
        "network": {"type": "convnet", "stages": stages, "hidden": [12]},
        "quantization": {
            "weight_bits": 3,
            "activation_bits": 4,
            "layers": {"stage1.*": {"activation_bits": 5}},
        },
        "phases": [
            {"name": "float", "kind": "pretrain", "epochs": 1},
            {"name": "retrain", "kind": "retrain", "epochs": 1},
        ],
    }
    return calibrated_random(Recipe.model_validate(recipe))


@pytest.mark.parametrize(("outputs", "inputs", "groups"), [(5, 3, 1), (20, 2, 1), (12, 1, 12)])
def test_the_spectral_norm_is_the_largest_singular_value(outputs, inputs, groups):
    torch.manual_seed(outputs)
    weight = torch.randn(outputs, inputs, 3, 3)
    each = outputs // groups
    matrix = np.zeros((groups * inputs * 9, outputs))
    for g in range(groups):
        block = weight[g * each : (g + 1) * each].reshape(each, -1).T
        matrix[g * inputs * 9 : (g + 1) * inputs * 9, g * each : (g + 1) * each] = block
    wanted = np.linalg.svd(matrix, compute_uv=False)[0]
    assert spectral_norm(weight, groups) == pytest.approx(wanted, rel=1e-6)


def test_an_orthonormal_layer_has_the_norm_one_and_batch_norm_scales_it(network):
    layers = {layer.name: layer for layer in weight_layers(network, torch.rand(1, 1, 8, 8))}
    assert spectral_norm(torch.linalg.qr(torch.randn(9, 4))[0].T) == pytest.approx(1, abs=1e-5)
    for name, layer in layers.items():
        assert (layer.norm is None) == (name == "head")
    one = next(layer for layer in layers.values() if layer.norm is not None)
    gain = one.norm.weight / (one.norm.running_var + one.norm.eps).sqrt()
    folded = (one.quantized_weight().flatten(1) * gain[:, None]).detach().double().numpy()
    assert layer_norms(one)[2] == pytest.approx(np.linalg.norm(folded, 2), rel=1e-6)


def test_operations_are_counted_with_the_bits_of_both_operands(network):
    layers = weight_layers(network, torch.rand(1, 1, 8, 8))
    found = [(x.kind, x.weight_bits, x.input_bits, x.macs) for x in layers]
    assert found == [
        ("conv 3x3", 8, 8, 64 * 9 * 6),
        ("conv 3x3", 3, 5, 16 * 9 * 6 * 8),
        ("linear", 3, 4, 4 * 8 * 12),
        ("linear", 8, 4, 120),
    ]
    total = size(network, layers)
    weights = [54, 432, 384, 120]
    assert total.weights == sum(weights)
    assert total.parameters == sum(weights) + 2 * (6 + 8 + 12)
    assert total.weight_bits == 54 * 8 + 432 * 3 + 384 * 3 + 120 * 8
    assert total.compression == pytest.approx(32 * sum(weights) / total.weight_bits)
    assert total.bit_operations == 3456 * 64 + 6912 * 15 + 384 * 12 + 120 * 32


def test_the_effective_ratio_asks_for_the_float_network_as_good():
    family = [(1000, 0.80), (4000, 0.90), (16000, 0.92)]
    # Half way between the first two is the geometric mean, 2,000 weights.
    assert effective_compression(0.85, 2 * 4000, family) == pytest.approx(32 * 2000 / 8000)
    assert effective_compression(0.90, 2 * 4000, family) == pytest.approx(16)
    assert effective_compression(0.95, 8000, family) is None
    assert effective_compression(0.85, 8000, family[:1]) is None


def test_a_family_is_compared_by_what_counts():
    def report(weights: int, *measures: dict[str, float]) -> dict:
        kinds = ("pretrain", "retrain")
        phases = [{"kind": kind, **one} for kind, one in zip(kinds, measures, strict=True)]
        totals = {"weights": weights, "weight_bits": 2 * weights}
        return {"phases": phases, "totals": totals}

    small = report(1000, {"accuracy": 0.8, "miou": 0.4}, {"accuracy": 0.7, "miou": 0.3})
    large = report(4000, {"accuracy": 0.9, "miou": 0.6}, {"accuracy": 0.5, "miou": 0.5})
    compare_family([small, large])
    assert small["totals"]["effective_compression"] is None
    assert large["totals"]["effective_compression"] == pytest.approx(32 * 2000 / 8000)


def test_losses_along_directions_are_those_of_the_shifted_weights(network):
    images = pattern_frames((1, 8, 8), 30, 1).float() / 256
    labels = torch.randint(0, 10, (30,), generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = flatness(network, images, labels, directions=2, radius=0.4, points=5, seed=7)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert found.alphas == pytest.approx([-0.4, -0.2, 0.0, 0.2, 0.4])
    with torch.no_grad():
        loss = F.cross_entropy(network(images), labels).item()
        assert found.losses[0][2] == found.losses[1][2] == pytest.approx(loss, rel=1e-5)
        # The first direction, drawn again and applied by hand.
        generator = torch.Generator().manual_seed(7)
        layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for layer in layers:
            drawn = torch.randn(layer.weight.shape, generator=generator)
            for row, filter_ in zip(drawn, layer.weight, strict=True):
                row *= filter_.norm() / row.norm()
            layer.weight.add_(0.4 * drawn)
        shifted = F.cross_entropy(network(images), labels).item()
    network.load_state_dict(before)
    assert found.losses[0][4] == pytest.approx(shifted, rel=1e-4)
    lines = [[line[i] - loss for i in (0, 1, 3, 4)] for line in found.losses]
    assert found.rise == pytest.approx(np.mean(lines), rel=1e-3)

"""Noise of quantizers, and its growth, against the formulas written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.quant.quantizers import learned_thresholds, tensor_quantizer
from qdeploy.recipe.models import Recipe
from qdeploy.training.analysis import trace
from qdeploy.training.analysis.noise import activation_noise, decibels, weight_sqnr
from qdeploy.training.analysis.trace import weight_layers

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]


def network_of(kind: dict, **quantization: object) -> nn.Module:
    recipe = Recipe.model_validate(
        {"name": "x", "network": kind, "quantization": quantization, "phases": PHASES}
    )
    return calibrated_random(recipe, seed=3)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return pattern_frames((1, 8, 8), 40, 5).float() / 256


@pytest.fixture(scope="module")
def chain() -> nn.Module:
    return network_of({"type": "fcdnn", "width": 24, "depth": 2})


def test_the_sqnr_of_weights_is_that_of_the_definition(chain, images):
    for layer in weight_layers(chain, images[:1]):
        w = layer.layer.weight.detach().double().numpy()
        q = layer.layer.quant_weight().value.detach().double().numpy()
        wanted = 10 * np.log10((w**2).sum() / ((w - q) ** 2).sum())
        assert weight_sqnr(layer) == pytest.approx(wanted, rel=1e-9)


def clip_and_round(chain: nn.Module, name: str, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
    step = getattr(chain, name).act.act_quant.scale().item()
    clipped = values.relu().double().clamp(0, 3 * step)
    return clipped, (clipped / step).round() * step


def test_an_error_at_the_last_quantizer_grows_by_the_head_alone(chain, images):
    rows, _ = activation_noise(chain, images)
    with torch.no_grad():
        x = chain.flatten(chain.input_quant(images))
        first = chain.hidden1.norm(chain.hidden1.fc(x))
        a1, q1 = clip_and_round(chain, "hidden1", first)
        second = chain.hidden2.norm(chain.hidden2.fc(a1.float()))
        a2, q2 = clip_and_round(chain, "hidden2", second)
        head = chain.head.quant_weight().value.double()
        centred = head - head.mean(0)
        at_output = ((q2 - a2) @ centred.T).square().sum() / (a2 @ centred.T).square().sum()
        at_source = (q2 - a2).square().sum() / second.relu().double().square().sum()
        wanted = 10 * math.log10(at_output / at_source)
        assert rows[1].name == "hidden2.act"
        assert rows[1].gain_db == pytest.approx(wanted, abs=0.02)
        assert rows[1].output_db == pytest.approx(10 * math.log10(at_output), abs=0.02)
        # What the first one quantizes does not depend on any other quantizer.
        signal = first.relu().double()
        error = (signal - q1).square().sum()
        assert rows[0].sqnr_db == pytest.approx(
            10 * math.log10(signal.square().sum() / error), abs=0.02
        )
        share = float((first.relu() > a1.max() * (1 + 1e-6)).double().mean())
        assert rows[0].clipped == pytest.approx(share, abs=0.01)


def test_the_network_is_as_it_was(chain, images):
    before = chain(images)
    activation_noise(chain, images)
    assert torch.equal(chain(images), before)
    assert not any(
        tensor_quantizer(m.act_quant)._forward_hooks
        for m in chain.modules()
        if hasattr(m, "act_quant")
    )


def test_finer_codes_make_less_noise_at_the_output(images):
    kind = {"type": "resnet", "depth": 8, "width": 4}
    noise = [
        activation_noise(network_of(kind, activation_bits=b, residual_bits=8), images)[1]
        for b in (2, 4, 8)
    ]
    assert noise[0] > noise[1] + 6 > noise[2] + 12


def test_every_quantizer_of_a_residual_network_has_a_gain(images):
    network = network_of({"type": "resnet", "depth": 8, "width": 4, "block": "preact"})
    rows, together = activation_noise(network, images)
    names = [name for name, m in network.named_modules() if hasattr(m, "act_quant")]
    assert [row.name for row in rows] == [name for name in names if name != "input_quant"]
    assert all(math.isfinite(row.gain_db) for row in rows)
    assert together > max(row.output_db for row in rows) - 3


def test_learned_thresholds_are_compared_with_the_curve_that_they_round(images):
    kind = {"type": "fcdnn", "width": 24, "depth": 1}
    network = network_of(kind, activation_thresholds="learned")
    layer = network.hidden1
    curve, scale = learned_thresholds(layer.act.act_quant), layer.act.act_quant.scale()
    with torch.no_grad():
        curve.segments.start.fill_(-0.2)
        curve.segments.lengths.mul_(torch.tensor([0.5, 1.0, 1.8]))
        x = layer.norm(layer.fc(network.flatten(network.input_quant(images))))
        smooth, codes = curve.unrounded(x, scale).double(), layer.act(x).double()
    (row,), _ = activation_noise(network, images)
    error = (codes - smooth).square().sum()
    assert row.sqnr_db == pytest.approx(10 * math.log10(smooth.square().sum() / error), abs=0.02)
    share = float((x >= curve.segments.lengths.sum() - 0.2).double().mean())
    assert 0 < share == pytest.approx(row.clipped, abs=1e-3)


def test_large_images_come_in_parts_and_give_the_same_figures(images, monkeypatch):
    network = network_of({"type": "fcdnn", "width": 24, "depth": 2})
    rows, together = activation_noise(network, images)
    passes = []
    network.register_forward_pre_hook(lambda _module, inputs: passes.append(len(inputs[0])))
    monkeypatch.setattr(trace, "MOST_PIXELS", 7 * 64)
    in_parts, together_in_parts = activation_noise(network, images)
    assert max(passes) == 7
    assert together_in_parts == pytest.approx(together, rel=1e-5)
    for one, other in zip(in_parts, rows, strict=True):
        for figure in ("sqnr_db", "clipped", "gain_db", "output_db"):
            assert getattr(one, figure) == pytest.approx(getattr(other, figure), rel=1e-4), figure


def test_decibels_of_nothing():
    assert decibels(100.0, 1.0) == pytest.approx(20)
    assert decibels(1.0, 0.0) == math.inf
    assert decibels(0.0, 1.0) == -math.inf
    assert math.isnan(decibels(0.0, 0.0))

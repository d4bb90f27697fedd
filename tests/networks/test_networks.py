"""Architectures: names, shapes, residual formula, and the float state in the quantized network."""

import pytest
import torch
from torch import nn

from qdeploy.data.dataset import network_input
from qdeploy.data.load import load_dataset
from qdeploy.errors import RecipeError
from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.quantizers import code_range
from qdeploy.quant.starting_scales import start_from_float
from qdeploy.recipe.models import Recipe

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]


def recipe(network: dict, data: str = "digits", **quantization: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "network": network,
            "quantization": quantization,
            "data": {"name": data},
            "phases": PHASES,
        }
    )


FC = {"type": "fcdnn", "width": 24, "depth": 3}
RES = {**FC, "residual": True}
CONV = {
    "type": "convnet",
    "stages": [{"channels": 8}, {"channels": 16, "stride": 2}, {"channels": 16, "pool": 2}],
    "hidden": [20],
}


@pytest.mark.parametrize("network", [FC, RES, CONV])
@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("data", ["digits", "cifar10"])
def test_networks_take_their_input_shape_and_give_ten_logits(network, quantized, data):
    net = build_network(recipe(network, data), quantized).eval()
    assert net(torch.zeros(3, *net.input_shape)).shape == (3, 10)
    assert not any(name.endswith("bias") and "norm" not in name for name in net.state_dict())


@pytest.mark.parametrize("network", [FC, RES, CONV])
def test_the_float_state_is_a_part_of_the_quantized_one(network):
    floating = build_network(recipe(network), quantized=False).state_dict()
    quantized = build_network(recipe(network), quantized=True).state_dict()
    assert floating.keys() < quantized.keys()
    assert all(floating[name].shape == quantized[name].shape for name in floating)
    assert all("scaling_impl.value" in name for name in quantized.keys() - floating.keys())


def test_module_names_read_as_layers():
    names = dict(build_network(recipe(CONV), quantized=True).named_modules())
    for name in ("input_quant", "stage1.conv", "stage2.act", "stage3.pool", "hidden1.fc", "head"):
        assert name in names


def test_first_and_last_layers_have_bits_of_their_own():
    net = build_network(
        recipe(CONV, weight_bits=2, first_layer_bits=8, last_layer_bits=6), quantized=True
    )
    layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    highest = {name: code_range(layer.weight_quant)[1] for name, layer in layers.items()}
    assert highest == {
        "stage1.conv": 127,
        "stage2.conv": 1,
        "stage3.conv": 1,
        "hidden1.fc": 1,
        "head": 31,
    }


def test_the_head_keeps_one_scale_where_layers_have_one_a_channel():
    net = build_network(recipe(CONV, weight_scaling="per_channel"), quantized=True)
    assert net.stage2.conv.weight_quant.scale().numel() == 16
    assert net.head.weight_quant.scale().numel() == 1


def test_residual_layers_average_input_and_activation():
    net = build_network(recipe(RES), quantized=False).eval()
    x = torch.rand(4, 1, 8, 8)
    h = net.hidden1(x.flatten(1))
    for layer in (net.hidden2, net.hidden3):
        h = 0.5 * (h + torch.relu(layer.norm(layer.fc(h))))
    torch.testing.assert_close(net(x), net.head(h))
    assert build_network(recipe(FC), quantized=False).join is None


def test_the_seed_decides_the_weights_and_the_global_state_is_left_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = build_network(recipe(FC), quantized=False)
    assert torch.equal(torch.get_rng_state(), before)
    other = build_network(recipe(FC).model_copy(update={"seed": 1}), quantized=False)
    assert torch.equal(one.head.weight, build_network(recipe(FC), quantized=False).head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)


def test_an_image_that_is_used_up_names_the_stage():
    stages = [{"channels": 4, "pool": 4}, {"channels": 4, "pool": 4}]
    with pytest.raises(RecipeError, match="after stage 2") as caught:
        build_network(recipe({"type": "convnet", "stages": stages}), quantized=False)
    assert caught.value.where == "network.stages.1"


DEEP = [
    {"type": "resnet", "depth": 8, "width": 8},
    {"type": "resnet", "depth": 8, "width": 8, "block": "preact"},
    {"type": "mobilenetv2", "multiplier": 0.25, "last_channels": 64},
]


@pytest.mark.parametrize("network", DEEP, ids=lambda n: n.get("block", n["type"]))
def test_at_eight_bits_residual_networks_follow_their_float_versions(network):
    settings = recipe(network, weight_bits=8, activation_bits=8)
    floating = build_network(settings, quantized=False)
    images = network_input(load_dataset("digits").train_images[:256], 8)
    floating.train()
    for _ in range(20):
        floating(images)
    quantized = build_network(settings, quantized=True)
    start_from_float(quantized, floating, images, settings.quantization, samples=1 << 13)
    with torch.no_grad():
        wanted, got = floating.eval()(images), quantized.eval()(images)
    assert float((wanted - got).std() / wanted.std()) < 0.15


@pytest.mark.parametrize("network", [FC, RES, CONV])
@pytest.mark.parametrize(
    "quantization",
    [
        {"weight_bits": 8, "activation_bits": 8},
        {"weight_bits": 8, "activation_bits": 8, "scale": "power_of_two"},
        {"weight_bits": 8, "activation_bits": 8, "weight_scaling": "per_channel"},
        {"weight_bits": 8, "activation_bits": 8, "weight_init": "statistics"},
        {
            "weight_bits": 8,
            "activation_bits": 8,
            "weight_init": "statistics",
            "scale": "power_of_two",
        },
    ],
)
def test_at_eight_bits_a_fresh_quantized_network_follows_its_float_version(network, quantization):
    settings = recipe(network, **quantization)
    floating = build_network(settings, quantized=False)
    images = network_input(load_dataset("digits").train_images[:256], 8)
    floating.train()
    for _ in range(20):
        floating(images)
    quantized = build_network(settings, quantized=True)
    start_from_float(quantized, floating, images, settings.quantization)
    with torch.no_grad():
        wanted, got = floating.eval()(images), quantized.eval()(images)
    assert float((wanted - got).std() / wanted.std()) < 0.06


@pytest.mark.parametrize("scale", ["float", "power_of_two"])
def test_starting_scales_beat_the_full_range_at_two_bits(scale):
    settings = recipe(FC, scale=scale)
    quantized = build_network(settings, quantized=True)
    floating = build_network(settings, quantized=False)
    images = network_input(load_dataset("digits").train_images[:256], 8)
    start_from_float(quantized, floating, images, settings.quantization)
    weight = quantized.hidden2.fc.weight
    full = weight.abs().max()
    careless = (weight - full * (weight / full).round()).square().sum()
    chosen = (weight - quantized.hidden2.fc.quant_weight()).square().sum()
    assert chosen < 0.6 * careless

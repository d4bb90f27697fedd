"""The layer factory: bit widths by name, and names that are the network's."""

import pytest
import torch
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.quantizers import code_range, learned_thresholds
from qdeploy.recipe.models import Recipe

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]
NETWORKS = {
    "fcdnn": {"type": "fcdnn", "width": 8, "depth": 2},
    "residual fcdnn": {"type": "fcdnn", "width": 8, "depth": 2, "residual": True},
    "convnet": {"type": "convnet", "stages": [{"channels": 4}, {"channels": 4}], "hidden": [5]},
    **{
        block: {"type": "resnet", "block": block, "blocks": [1, 1], "width": 4}
        for block in ("basic", "preact", "depthwise", "bottleneck", "preact-bottleneck")
    },
    "deeplab": {
        "type": "deeplab",
        "stages": [
            {"expansion": 1, "channels": 8, "blocks": 1},
            {"expansion": 2, "channels": 8, "blocks": 2},
        ],
    },
}


def build(network: dict, **quantization: object) -> nn.Module:
    recipe = {"name": "x", "network": network, "quantization": quantization, "phases": PHASES}
    return build_network(Recipe.model_validate(recipe), quantized=True)


def highest_codes(network: nn.Module) -> dict[str, int]:
    """The highest code of every weight and learned activation quantizer, by layer."""
    found = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            found[name] = code_range(module.weight_quant)[1]
        elif hasattr(module, "act_quant") and name != "input_quant":
            found[name] = code_range(module.act_quant)[1]
    return found


@pytest.mark.parametrize("network", NETWORKS)
def test_every_layer_takes_bits_under_its_name_in_the_network(network):
    before = highest_codes(build(NETWORKS[network]))
    every = {name: {} for name in before}
    net = build(NETWORKS[network])
    for index, name in enumerate(before):
        weights = isinstance(net.get_submodule(name), nn.Conv2d | nn.Linear)
        every[name] = {"weight_bits" if weights else "activation_bits": 3 + index % 5}
    after = highest_codes(build(NETWORKS[network], layers=every))
    for index, name in enumerate(before):
        signed = not name.rpartition(".")[2].startswith(("act",)) and name != "join"
        assert after[name] == 2 ** (3 + index % 5 - signed) - 1, name


def test_the_last_pattern_that_fits_counts():
    layers = {
        "group1.*": {"weight_bits": 4, "activation_bits": 5},
        "*.conv2": {"weight_bits": 8},
        "group2.block1.conv2": {"weight_bits": 3},
    }
    found = highest_codes(build(NETWORKS["basic"], layers=layers))
    assert found["group1.block1.conv1"] == 7
    assert found["group1.block1.conv2"] == 127
    assert found["group2.block1.conv2"] == 3
    assert found["group1.block1.act1"] == 31
    assert found["group1.block1.join"] == 15
    assert found["group2.block1.join"] == 127
    assert found["stem.act"] == 3


@pytest.mark.parametrize(
    "layers", [{"gruop1.*": {"weight_bits": 4}}, {"stem.act": {"weight_bits": 4}}]
)
def test_a_pattern_that_nothing_takes_is_refused(layers):
    (pattern,) = layers
    with pytest.raises(RecipeError, match=f"`weight_bits` has a name that matches `{pattern}`"):
        build(NETWORKS["basic"], layers=layers)


def test_a_signed_quantizer_of_one_bit_is_refused():
    with pytest.raises(RecipeError, match=r"signed quantizer `group1.block1.join` .* 1 bit"):
        build(NETWORKS["basic"], layers={"*.join": {"activation_bits": 1}})


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"weight_bits": 1}, [-1, 1]),
        ({"weight_bits": 2}, [-1, 0, 1]),
        ({"weight_bits": 2, "weight_levels": "all"}, [-2, -1, 0, 1]),
        ({"weight_bits": 3, "weight_levels": "all"}, list(range(-4, 4))),
    ],
)
def test_weights_have_the_levels_the_recipe_says(settings, values):
    conv = build(NETWORKS["basic"], **settings).group1.block1.conv1
    assert code_range(conv.weight_quant) == (values[0], values[-1])
    with torch.no_grad():
        conv.weight.copy_(torch.linspace(-1, 1, conv.weight.numel()).reshape(conv.weight.shape))
        scale = conv.weight_quant.scale()
        conv.weight.mul_(scale * 8)
        assert (conv.quant_weight() / scale).round().unique().tolist() == values


@pytest.mark.parametrize("network", NETWORKS)
def test_float_weights_and_float_activations_leave_the_other_side_quantized(network):
    widths = highest_codes(build(NETWORKS[network]))
    weights = build(NETWORKS[network], activation_bits="float")
    activations = build(NETWORKS[network], weight_bits="float")
    layers = {name for name, m in weights.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    only_weights = {
        name: code_range(m.weight_quant)[1] for name, m in weights.named_modules() if name in layers
    }
    assert only_weights == {name: top for name, top in widths.items() if name in layers}
    left = [name for name, m in weights.named_modules() if hasattr(m, "act_quant")]
    assert left == ["input_quant"]
    assert not any(hasattr(m, "weight_quant") for m in activations.modules())
    only_activations = {
        name: code_range(m.act_quant)[1]
        for name, m in activations.named_modules()
        if hasattr(m, "act_quant") and name != "input_quant"
    }
    assert only_activations == {n: top for n, top in widths.items() if n not in layers}


def test_learned_thresholds_are_those_of_narrow_activations_after_a_relu():
    layers = {"group1.block1.act1": {"activation_bits": 4}, "stem.act": {"activation_bits": 5}}
    settings = {"activation_thresholds": "learned", "layers": layers}
    net = build(NETWORKS["basic"], **settings)
    found = {
        name: learned_thresholds(module.act_quant)
        for name, module in net.named_modules()
        if hasattr(module, "act_quant") and name != "input_quant"
    }
    uniform = {name for name, thresholds in found.items() if thresholds is None}
    assert uniform == {"stream", "group1.block1.join", "group2.block1.join", "stem.act"} & set(
        found
    )
    assert len(found["group1.block1.act1"].segments.lengths) == 15
    assert len(found["group2.block1.act1"].segments.lengths) == 3
    joined = build(
        {"type": "fcdnn", "width": 8, "depth": 2, "residual": True}, **settings | {"layers": {}}
    )
    assert learned_thresholds(joined.join.act_quant) is None


def test_a_pattern_quantizes_single_layers_of_a_float_network():
    network = build(NETWORKS["convnet"], weight_bits="float", layers={"head": {"weight_bits": 3}})
    quantized = [name for name, m in network.named_modules() if hasattr(m, "weight_quant")]
    assert quantized == ["head"]
    assert code_range(network.head.weight_quant) == (-3, 3)

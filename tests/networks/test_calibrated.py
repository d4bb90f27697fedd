"""Untrained networks for tests: spread codes in every layer, classes that differ."""

import pytest
import torch

from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.quant.quantizers import code_range
from qdeploy.recipe.models import Recipe

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]
STAGES = [
    {"expansion": 1, "channels": 8, "blocks": 1},
    {"expansion": 3, "channels": 16, "blocks": 3, "stride": 2},
]
NETWORKS = {
    "fcdnn": {"type": "fcdnn", "width": 24, "depth": 4, "residual": True},
    "basic": {"type": "resnet", "width": 6, "depth": 14},
    "preact": {"type": "resnet", "width": 6, "depth": 14, "block": "preact"},
    "depthwise": {"type": "resnet", "width": 5, "depth": 20, "block": "depthwise"},
    "bottleneck": {"type": "resnet", "width": 4, "blocks": [2, 2], "block": "bottleneck"},
    "preact-bottleneck": {
        "type": "resnet",
        "width": 5,
        "blocks": [2, 2],
        "block": "preact-bottleneck",
        "stem": "7x7-pool",
    },
    "mobilenetv2": {"type": "mobilenetv2", "stages": STAGES, "last_channels": 40},
    "deeplab": {"type": "deeplab", "stages": STAGES, "top_channels": 16, "output_stride": 2},
}
QUANTIZATION = {
    "w2a2": {},
    "pow2": {"scale": "power_of_two", "residual_bits": 6},
    "w1a2": {"weight_bits": 1},
    "w2a2-throughout": {"first_layer_bits": 2, "last_layer_bits": 2, "input_bits": 4},
    "w1a1-throughout": {
        "weight_bits": 1,
        "activation_bits": 1,
        "first_layer_bits": 1,
        "last_layer_bits": 1,
    },
    "w3a4": {"weight_bits": 3, "activation_bits": 4, "weight_scaling": "per_channel"},
}


def recipe(network: dict, quantization: dict) -> Recipe:
    return Recipe.model_validate(
        {"name": "x", "network": network, "quantization": quantization, "phases": PHASES}
    )


KINDS = [(network, "w2a2") for network in NETWORKS] + [
    (network, quantization)
    for network in ("basic", "mobilenetv2")
    for quantization in ("pow2", "w1a2", "w3a4", "w2a2-throughout", "w1a1-throughout")
]


@pytest.mark.parametrize(("network", "quantization"), KINDS)
def test_every_layer_uses_its_codes_and_frames_decide_the_class(network, quantization):
    net = calibrated_random(
        recipe(NETWORKS[network], QUANTIZATION[quantization]), seed=3, shape=(3, 16, 16)
    )
    found: dict[str, torch.Tensor] = {}

    def keep(name, module):
        def hook(_module, _inputs, output):
            codes = output.detach() / module.act_quant.scale()
            found[name] = torch.cat([found.get(name, codes.new_zeros(0)), codes.flatten().round()])

        return hook

    for name, module in net.named_modules():
        if hasattr(module, "act_quant"):
            module.register_forward_hook(keep(name, module))
    images = pattern_frames((3, 16, 16), 40, seed=99).float() / 256
    with torch.no_grad():
        logits = net(images)
    for name, codes in found.items():
        lo, hi = code_range(net.get_submodule(name).act_quant)
        values, counts = codes.unique(return_counts=True)
        assert len(values) >= min(hi - lo + 1, 4), f"{name} has the codes {values.tolist()}"
        assert counts.max() < 0.9 * len(codes), f"{name} is mostly {values[counts.argmax()]}"
    classes, counts = logits.argmax(1).flatten().unique(return_counts=True)
    assert len(classes) >= 4
    assert counts.max() < 0.75 * counts.sum()


def test_the_seed_decides_everything():
    settings = recipe(NETWORKS["basic"], {})
    one, same, other = (calibrated_random(settings, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, same.state_dict()[k]) for k, a in one.state_dict().items())
    assert not torch.equal(one.head.weight, other.head.weight)


def test_frames_are_bytes_that_use_the_whole_range():
    frames = pattern_frames((1, 8, 8), 50, seed=0)
    assert frames.dtype == torch.uint8 and frames.shape == (50, 1, 8, 8)
    assert frames.min() < 8 and frames.max() > 247
    assert frames.float().flatten(1).std(0).min() > 20

"""Residual networks: published sizes, and both operands of every sum on one grid."""

import re

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from qdeploy.errors import RecipeError
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.loading import load_recipe
from qdeploy.recipe.models import Recipe

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]

# He et al. 2016, table 6 (the widths behind table 4 of Boo et al., whose file gives no sizes).
DEPTHS = [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]

SMALL = {
    "basic": {"depth": 8},
    "preact": {"depth": 14},
    "depthwise": {"depth": 20},
    "bottleneck": {"blocks": [1, 2], "stem": "7x7-pool"},
    "preact-bottleneck": {"blocks": [2, 1], "stem": "7x7-pool"},
}


def recipe(network: dict, data: str = "digits", **quantization: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "network": {"type": "resnet", "width": 6, **network},
            "quantization": quantization,
            "data": {"name": data},
            "phases": PHASES,
        }
    )


def numbers(network: dict, **size: object) -> int:
    """Parameters with the means and variances of batch norm: what the tables count."""
    with torch.device("meta"):
        net = build_network(recipe(network, "cifar10"), quantized=False, **size)
    return sum(t.numel() for name, t in net.state_dict().items() if "tracked" not in name)


@pytest.mark.parametrize(("depth", "millions"), DEPTHS)
def test_networks_of_sixteen_channels_have_the_published_size(depth, millions):
    assert numbers({"depth": depth, "width": 16}) == pytest.approx(millions * 1e6, rel=0.03)


def test_the_multiplier_multiplies_every_width():
    assert numbers({"depth": 20, "width": 16, "multiplier": 2.5}) == numbers(
        {"depth": 20, "width": 40}
    )


@pytest.mark.parametrize("block", SMALL)
def test_depth_counts_the_layers_on_the_longest_way(block):
    net = build_network(recipe({"block": block, **SMALL[block]}), quantized=False)
    layers = [
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    blocks = SMALL[block].get("blocks")
    per_block = 2 if block in ("basic", "preact") else 3
    assert len(layers) == (2 + per_block * sum(blocks) if blocks else SMALL[block]["depth"])


class AddsOfMaps(TorchDispatchMode):
    """Keeps the operands of every addition of two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.operands: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.add.Tensor and all(
            isinstance(a, torch.Tensor) and a.dim() == 4 for a in args[:2]
        ):
            self.operands.append((args[0].clone(), args[1].clone()))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("block", SMALL)
@pytest.mark.parametrize("bits", [8, 4])
def test_both_operands_of_every_sum_lie_on_the_shared_grid(block, bits):
    settings = recipe({"block": block, **SMALL[block]}, residual_bits=bits)
    net = calibrated_random(settings, seed=1)
    blocks = {
        name: module
        for name, module in net.named_modules()
        if re.fullmatch(r"group\d+\.block\d+", name)
    }
    images = pattern_frames((1, 8, 8), 4, seed=5).float() / 256
    with torch.no_grad(), AddsOfMaps() as seen:
        net(images)
    assert len(seen.operands) == len(blocks) > 1
    for (name, block_), operands in zip(blocks.items(), seen.operands, strict=True):
        owner = block_.join if hasattr(block_, "join") else net.get_submodule(name[:6]).stream
        step = owner.act_quant.scale()
        for operand in operands:
            codes = operand / step
            torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)
            assert 2 < codes.round().unique().numel() < 2**bits
            assert codes.abs().max() < 2 ** (bits - 1)


def test_names_of_shared_quantizers_tell_who_owns_them():
    basic = dict(build_network(recipe({"depth": 8}), quantized=True).named_modules())
    preact = dict(build_network(recipe({"depth": 8, "block": "preact"}), True).named_modules())
    assert {"group1.block1.join", "group3.block1.join"} <= basic.keys()
    assert {"group1.stream", "group3.stream"} <= preact.keys()
    assert not any(name.endswith("block1.join") for name in preact)


def test_a_depth_that_blocks_cannot_make_is_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(
        "name: x\nnetwork: {type: resnet, depth: 21}\n"
        "phases:\n  - {name: float, kind: pretrain, epochs: 1}\n"
        "  - {name: retrain, kind: retrain, epochs: 1}\n"
    )
    with pytest.raises(RecipeError, match=r"6n \+ 2 layers, such as 8 or 14, but `depth` is 21"):
        load_recipe(path)
    with pytest.raises(RecipeError, match="either `depth` or `blocks`"):
        load_recipe(path, ["network.blocks=[1, 1]"])

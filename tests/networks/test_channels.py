"""Which channels are tied, and that a network without closed ones computes the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.networks.channels import Channels, channels_of
from qdeploy.networks.fewer_channels import layer_channels
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.pruning import Pruning
from qdeploy.training.methods.pruning import Gates
from qdeploy.training.pruned import channels_in, without_closed_channels

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]
SHAPE = (1, 8, 8)
STAGES = [
    {"expansion": 1, "channels": 8, "blocks": 1},
    {"expansion": 2, "channels": 8, "blocks": 2, "stride": 2},
]
NETWORKS = {
    "fcdnn": {"type": "fcdnn", "width": 11, "depth": 3},
    "fcdnn-residual": {"type": "fcdnn", "width": 11, "depth": 3, "residual": True},
    "convnet": {
        "type": "convnet",
        "stages": [{"channels": 6, "pool": 2}, {"channels": 7, "stride": 2}],
        "hidden": [12],
    },
    **{
        block: {"type": "resnet", "block": block, "blocks": [1, 2], "width": 8}
        for block in ("basic", "preact", "depthwise", "bottleneck", "preact-bottleneck")
    },
    "mobilenetv2": {"type": "mobilenetv2", "stages": STAGES, "last_channels": 13},
    **{
        name: {
            "type": "deeplab",
            "stages": STAGES,
            "top_channels": 9,
            "output_stride": 2,
            "image_pooling": pooled,
        }
        for name, pooled in (("deeplab", False), ("deeplab-pooled", True))
    },
}
SETTINGS = Pruning(target=0.5)


def recipe_of(name: str, **quantization: object) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "x",
            "network": NETWORKS[name],
            "quantization": quantization,
            "data": {"name": "digits"},
            "phases": PHASES,
        }
    )


def float_network(name: str) -> nn.Module:
    return build_network(recipe_of(name), quantized=False)


def close(network: nn.Module, channels: Channels, seed: int = 0) -> int:
    """Close gates at random, but not all of a layer; their number."""
    generator = torch.Generator().manual_seed(seed)
    closed = channels.removable & (torch.rand(channels.count, generator=generator) < 0.6)
    for number in channels.groups.unique():
        members = (channels.groups == number).nonzero().flatten()
        closed[members[0]] = False
    Gates(network, channels).scale((~closed).float())
    return int(closed.sum())


@pytest.mark.parametrize("name", NETWORKS)
def test_without_closed_channels_a_float_network_gives_the_same_bits(name):
    """Sums of small integers are exact whatever their order, so nothing may differ."""
    recipe, network = recipe_of(name), float_network(name)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            values = torch.randint(-2, 3, module.weight.shape, generator=generator).double()
            few = torch.rand(module.weight.shape, generator=generator) < 0.4
            module.weight.data = values * few
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps, (count,) = 0.0, module.weight.shape
            module.weight.data = 2.0 ** torch.randint(-2, 1, (count,), generator=generator)
            module.weight.data[::4] *= -1
            module.bias.data = torch.randint(-3, 4, (count,), generator=generator) / 4
            module.running_mean = torch.randint(-3, 4, (count,), generator=generator) / 4
    network = network.eval().double()
    channels = channels_of(float_network(name), SHAPE)
    closed = close(network, channels)
    assert closed > channels.removable.sum() * 0.4
    narrow = without_closed_channels(recipe, SETTINGS, network, quantized=False).double().eval()
    for module in narrow.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eps = 0.0
    frames = pattern_frames(SHAPE, 6, seed=3).double()
    wanted, found = network(frames), narrow(frames)
    assert wanted.std() > 0
    assert torch.equal(found, wanted)
    sizes = [sum(p.numel() for p in one.parameters()) for one in (network, narrow)]
    assert sizes[1] < sizes[0] * 0.6


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("convnet", {}),
        ("basic", {"weight_scaling": "per_channel"}),
        ("preact", {"weight_bits": 1}),
        ("mobilenetv2", {"weight_normalization": "entropy", "residual_bits": 3}),
        ("deeplab", {"scale": "power_of_two"}),
    ],
)
def test_without_closed_channels_a_quantized_network_has_the_same_integer_logits(
    name, quantization, tmp_path
):
    recipe = recipe_of(name, **quantization)
    network = calibrated_random(recipe)
    channels = channels_of(float_network(name), SHAPE)
    assert close(network, channels) > 0
    narrow = without_closed_channels(recipe, SETTINGS, network, quantized=True).eval()
    assert layer_channels(narrow) != layer_channels(network)
    frames = pattern_frames(SHAPE, 16, seed=3).numpy().astype(np.int64)
    found = []
    for number, one in enumerate((network, narrow)):
        path = tmp_path / f"{number}.onnx"
        export_qonnx_file(one, SHAPE, path)
        graph = lower(path)
        found.append((graph, run_reference(graph, frames)[graph.logits]))
    (_, wanted), (_, got) = found
    assert len(np.unique(wanted)) > 5
    assert np.array_equal(got, wanted)


def outputs(channels: Channels, *layers: str) -> list[list[int]]:
    return [channels.layers[layer][1].tolist() for layer in layers]


def test_residual_connections_tie_channels_together():
    channels = channels_of(float_network("basic"), SHAPE)
    stem, second, inner = outputs(
        channels, "stem.conv", "group1.block1.conv2", "group1.block1.conv1"
    )
    assert stem == second == channels.norms["stem.norm"].tolist()
    assert channels.layers["group2.block1.shortcut.conv"][0].tolist() == stem
    assert not set(stem) & set(inner)
    a, b, c = outputs(
        channels, "group2.block1.shortcut.conv", "group2.block1.conv2", "group2.block2.conv2"
    )
    assert a == b == c == channels.layers["head"][0].tolist()
    assert bool(channels.removable[stem].all() and channels.removable[inner].all())


def test_a_stream_is_gated_by_the_norms_that_read_it():
    channels = channels_of(float_network("preact"), SHAPE)
    stem, second = outputs(channels, "stem.conv", "group1.block1.conv2")
    assert stem == second == channels.norms["group1.block1.norm1"].tolist()
    assert bool(channels.removable[stem].all())


def test_a_depthwise_layer_has_the_channels_of_the_layer_before_it():
    channels = channels_of(float_network("mobilenetv2"), SHAPE)
    stem, first, stream = outputs(
        channels, "stem.conv", "stage1.block1.depthwise", "stage1.block1.project"
    )
    assert stem == first == channels.layers["stage1.block1.project"][0].tolist()
    assert not set(stem) & set(stream)


def test_a_flattened_channel_is_as_many_inputs_as_it_has_pixels():
    channels = channels_of(float_network("convnet"), SHAPE)
    inputs, pixels = channels.layers["hidden1.fc"][0], 2 * 2
    (last,) = outputs(channels, "stage2.conv")
    assert inputs.tolist() == [one for one in last for _ in range(pixels)]


def test_a_mean_that_is_joined_to_every_pixel_has_as_many_channels():
    channels = channels_of(float_network("deeplab-pooled"), SHAPE)
    top, image = outputs(channels, "top.conv", "image.conv")
    assert top == image
    assert channels.layers["fuse.conv"][0].tolist() == [*top, *top]


def test_images_and_logits_keep_their_channels():
    channels = channels_of(float_network("fcdnn"), SHAPE)
    assert not channels.removable[channels.layers["hidden1.fc"][0]].any()
    assert not channels.removable[channels.layers["head"][1]].any()


class Other(nn.Module):
    """A small network with something between its layers."""

    def __init__(self, between: nn.Module, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.between = between
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4, bias=bias)
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.depthwise(self.between(self.norm(self.conv(x)))))


@pytest.mark.parametrize(
    ("between", "sentence"),
    [
        (nn.Sigmoid(), "it computes `sigmoid` between its layers"),
        (nn.PixelShuffle(1), "it computes `pixel_shuffle` between its layers"),
        (nn.BatchNorm2d(4, affine=False), "a batch norm has no scale that could be a gate"),
    ],
)
def test_what_may_change_a_closed_channel_is_refused_by_name(between, sentence):
    with pytest.raises(RecipeError, match="the network cannot be pruned") as caught:
        channels_of(Other(between), SHAPE)
    assert sentence in caught.value.what


def test_a_channel_that_a_bias_makes_other_than_zero_stays():
    for bias in (False, True):
        channels = channels_of(Other(nn.ReLU(), bias), SHAPE)
        assert bool(channels.removable[channels.norms["norm"]].any()) is not bias


def test_a_network_that_looks_at_values_is_refused():
    class Deciding(Other):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    with pytest.raises(RecipeError, match="it computes `sum` between its layers"):
        channels_of(Deciding(nn.ReLU()), SHAPE)


def test_parts_of_a_tensor_are_refused():
    class Splitting(Other):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            one, other = super().forward(x).chunk(2, dim=1)
            return one + other

    with pytest.raises(RecipeError, match="it computes `chunk` between its layers"):
        channels_of(Splitting(nn.ReLU()), SHAPE)


def test_the_state_alone_says_which_channels_there_are():
    recipe, network = recipe_of("mobilenetv2"), float_network("mobilenetv2")
    channels = channels_in(recipe, network.state_dict())
    close(network, channels)
    narrow = without_closed_channels(recipe, SETTINGS, network, quantized=False)
    again = channels_in(recipe, narrow.state_dict())
    assert int(again.removable.sum()) < int(channels.removable.sum())
    assert {name: len(own) for name, own in again.norms.items()} == {
        name: len(module.weight)
        for name, module in narrow.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }

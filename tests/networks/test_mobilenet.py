"""MobileNetV2 and segmentation on its features: sizes, strides, dilation, residual grids."""

import pytest
import torch
from torch import nn

from qdeploy.networks.calibrated import calibrated_random, pattern_frames
from qdeploy.networks.from_recipe import build_network
from qdeploy.recipe.models import Recipe

PHASES = [
    {"name": "float", "kind": "pretrain", "epochs": 1},
    {"name": "retrain", "kind": "retrain", "epochs": 1},
]
STAGES = [
    {"expansion": 1, "channels": 8, "blocks": 1},
    {"expansion": 3, "channels": 12, "blocks": 2, "stride": 2},
    {"expansion": 3, "channels": 16, "blocks": 2, "stride": 2},
]


def recipe(network: dict, data: str = "cifar10") -> Recipe:
    return Recipe.model_validate(
        {"name": "x", "network": network, "data": {"name": data}, "phases": PHASES}
    )


def test_mobilenetv2_has_the_published_size():
    # Sandler et al. 2018, table 4: 3.4 million; torchvision's network has 3,504,872 parameters,
    # 1,000 of them the head's biases.
    network = {"type": "mobilenetv2", "stem_stride": 2}
    with torch.device("meta"):
        net = build_network(recipe(network), quantized=False, shape=(3, 224, 224), classes=1000)
    assert sum(p.numel() for p in net.parameters()) == 3_504_872 - 1_000


@pytest.mark.parametrize(
    ("multiplier", "channels", "last"), [(0.35, 112, 1280), (1.0, 320, 1280), (1.4, 448, 1792)]
)
def test_widths_follow_the_multiplier_in_steps_of_eight(multiplier, channels, last):
    with torch.device("meta"):
        net = build_network(recipe({"type": "mobilenetv2", "multiplier": multiplier}), False)
    assert (net.channels, net.head.in_features) == (channels, last)
    widths = [m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert all(width % 8 == 0 for width in widths)


def test_images_of_thirty_two_pixels_end_at_two():
    with torch.device("meta"):
        net = build_network(recipe({"type": "mobilenetv2"}), quantized=False)
        assert net.features(torch.zeros(1, 3, 32, 32)).shape == (1, 320, 2, 2)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_dilation_replaces_the_strides_beyond_the_output_stride(output_stride):
    network = {"type": "deeplab", "output_stride": output_stride}
    with torch.device("meta"):
        net = build_network(recipe(network), quantized=False, shape=(3, 96, 128), classes=21)
        logits = net(torch.zeros(1, 3, 96, 128))
    assert logits.shape == (1, 21, 96 // output_stride, 128 // output_stride)
    depthwise = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert all(m.groups == m.in_channels == m.out_channels for m in depthwise)
    dilations = [m.dilation[0] for m in depthwise]
    assert (
        dilations
        == {
            8: [1] * 7 + [2] * 7 + [4] * 3,
            16: [1] * 14 + [2] * 3,
            32: [1] * 17,
        }[output_stride]
    )


def test_dilation_keeps_what_the_strided_network_computes():
    """A dilated network sees at every other pixel what the strided one computes there."""
    strided = {"type": "deeplab", "output_stride": 4, "stem_stride": 1, "stages": STAGES}
    dilated = {**strided, "output_stride": 2}
    coarse = build_network(recipe(strided), quantized=False).eval()
    fine = build_network(recipe(dilated), quantized=False).eval()
    fine.load_state_dict(coarse.state_dict())
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(fine(x)[:, :, ::2, ::2], coarse(x), rtol=1e-4, atol=1e-5)


def test_each_stage_has_one_grid_and_blocks_of_one_shape_are_residual():
    network = {"type": "mobilenetv2", "stages": STAGES, "last_channels": 24, "stem_channels": 8}
    net = calibrated_random(recipe(network, "digits"), seed=2)
    residual = [net.stage1.block1.residual, net.stage2.block1.residual, net.stage2.block2.residual]
    assert residual == ["requantized", "none", "same"]
    steps = set()
    with torch.no_grad():
        x = net.stem(net.input_quant(pattern_frames((1, 8, 8), 4, seed=5).float() / 256))
        for stage in (net.stage1, net.stage2, net.stage3):
            x = stage(x)
            step = stage.stream.act_quant.scale()
            steps.add(step.item())
            codes = x / step
            torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)
            assert codes.min() < 0 < codes.max()
    assert len(steps) == 3


def test_image_level_features_are_the_mean_of_the_map_on_the_grid_of_its_pixels():
    network = {"type": "deeplab", "stages": STAGES, "top_channels": 6, "stem_channels": 8}
    net = calibrated_random(
        recipe({**network, "output_stride": 2, "stem_stride": 1, "image_pooling": True}, "digits")
    )
    seen = []
    net.fuse.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    with torch.no_grad():
        x = pattern_frames((1, 8, 8), 4, seed=5).float() / 256
        assert net(x).shape == (4, 10, 4, 4)
        codes = seen[0] / net.join.act_quant.scale()
        pixels, image = codes[:, :6], codes[:, 6:]
        means = net.features(x).mean(dim=(2, 3), keepdim=True)
        wanted = torch.relu(net.image.norm(net.image.conv(means))) / net.join.act_quant.scale()
    torch.testing.assert_close(codes, codes.round(), atol=1e-3, rtol=0)
    assert pixels.round().unique().numel() > 2
    torch.testing.assert_close(image[:, :, :1, :1], wanted.round().clamp(0, 3), atol=1e-3, rtol=0)
    assert torch.equal(image, image[:, :, :1, :1].expand_as(image))

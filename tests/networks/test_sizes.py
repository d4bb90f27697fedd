"""Trained parameters of every recipe's network, exactly."""

from itertools import pairwise

import pytest
from network_sizes import network_of, numbers
from torch import nn

from qdeploy.recipe.papers import recipes
from qdeploy.resources import resource

# Weights, and gains and offsets of batch norm; learned scales of quantizers are none.
TRAINED = {
    "boo2020/deeplab_mobilenetv2_pooled_w4a4": 2_113_536,
    "boo2020/deeplab_mobilenetv2_w4a4": 1_899_520,
    "boo2020/fcdnn128-3_w2a2": 17_408,
    "boo2020/fcdnn128-4_residual_w2a2": 34_048,
    "boo2020/fcdnn128-4_w2a2": 34_048,
    "boo2020/fcdnn128-6_residual_w2a2": 67_328,
    "boo2020/fcdnn128-6_w2a2": 67_328,
    "boo2020/fcdnn128-8_residual_w2a2": 100_608,
    "boo2020/fcdnn128-8_w2a2": 100_608,
    "boo2020/fcdnn200-4_w2a2": 82_000,
    "boo2020/fcdnn256-3_w2a2": 67_584,
    "boo2020/imagenet_resnet101_w2a2": 44_540_608,
    "boo2020/imagenet_resnet18_x1.4_w2a2": 22_808_790,
    "boo2020/imagenet_resnet26_x1.1_w2a2": 21_427_770,
    "boo2020/imagenet_resnet34_w2a2": 21_795_008,
    "boo2020/imagenet_resnet44_x1.1_w2a2": 24_978_456,
    "boo2020/imagenet_resnet50_w2a2": 25_548_480,
    "boo2020/imagenet_resnet50_x1.3_w2a2": 44_148_915,
    "boo2020/mobilenetv2_x0.25_w2a2": 250_912,
    "boo2020/mobilenetv2_x0.5_w2a2": 700_480,
    "boo2020/mobilenetv2_x1.0_w2a2": 2_236_672,
    "boo2020/resnet110_depthwise_w2a2": 1_086_138,
    "boo2020/resnet110_width16_w2a2": 1_730_704,
    "boo2020/resnet14_preact_w2a2": 1_086_680,
    "boo2020/resnet14_w2a2": 1_087_080,
    "boo2020/resnet20_preact_w2a2": 1_017_699,
    "boo2020/resnet20_w2a2": 1_018_009,
    "boo2020/resnet20_width16_w2a2": 272_464,
    "boo2020/resnet20_x10_w2a2": 27_008_800,
    "boo2020/resnet20_x2_w2a2": 1_084_576,
    "boo2020/resnet20_x4_w2a2": 4_327_744,
    "boo2020/resnet20_x6_w2a2": 9_729_504,
    "boo2020/resnet20_x8_w2a2": 17_289_856,
    "boo2020/resnet29_depthwise_w2a2": 1_086_686,
    "boo2020/resnet32_preact_w2a2": 1_047_624,
    "boo2020/resnet32_w2a2": 1_047_864,
    "boo2020/resnet32_width16_w2a2": 466_896,
    "boo2020/resnet38_depthwise_w2a2": 1_055_520,
    "boo2020/resnet44_preact_w2a2": 1_031_740,
    "boo2020/resnet44_w2a2": 1_031_940,
    "boo2020/resnet56_depthwise_w2a2": 1_077_986,
    "boo2020/resnet56_preact_w2a2": 1_082_142,
    "boo2020/resnet56_w2a2": 1_082_322,
    "boo2020/resnet56_width16_w2a2": 855_760,
    "boo2020/resnet74_depthwise_w2a2": 1_052_062,
    "boo2020/resnet8_preact_w2a2": 1_043_179,
    "boo2020/resnet8_w2a2": 1_043_769,
    "camvid/mobilenetv2_deeplab_w4a4": 88_320,
    "fsdd/spoken_digits_resnet8_w2a2": 77_744,
    "mlperf_tiny/resnet8_w2a2": 78_032,
    "mnist/mnist_convnet_w1a1": 61_296,
    "mnist/mnist_convnet_w1a2": 61_296,
    "mnist/mnist_convnet_w2a2": 61_296,
    "mnist/mnist_mlp_w1a1": 59_392,
    "mnist/mnist_mlp_w1a2": 59_392,
    "mnist/mnist_mlp_w2a2": 59_392,
    "quickstart/digits_fcdnn_w2a2": 13_312,
    "quickstart/fashion_convnet_w2a2": 70_576,
    "quickstart/fashion_mlp_w2a2": 59_392,
    "sung2015/cnn_128-128-256_ternary": 1_502_336,
    "sung2015/cnn_16-16-32_ternary": 54_064,
    "sung2015/cnn_32-32-64_ternary": 145_760,
    "sung2015/cnn_64-64-128_ternary": 444_352,
    "sung2015/cnn_8-8-16_ternary": 22_616,
    "sung2015/cnn_96-96-192_ternary": 896_544,
    "sung2015/ffdnn_1x512_ternary": 1_054_720,
    "sung2015/ffdnn_2x512_ternary": 1_317_888,
    "sung2015/ffdnn_3x512_ternary": 1_581_056,
    "sung2015/ffdnn_4x1024_ternary": 5_261_312,
    "sung2015/ffdnn_4x128_ternary": 313_600,
    "sung2015/ffdnn_4x256_ternary": 725_504,
    "sung2015/ffdnn_4x32_ternary": 69_184,
    "sung2015/ffdnn_4x512_ternary": 1_844_224,
    "sung2015/ffdnn_4x64_ternary": 144_512,
}


def convolution(kernel: int, inputs: int, outputs: int) -> int:
    """Weights, and gain and offset of the batch norm behind it."""
    return kernel * kernel * inputs * outputs + 2 * outputs


def resnet20(width: int) -> int:
    """He et al. 2016: a stem and three groups of three blocks, here with 1x1 shortcuts."""
    widths = (width, 2 * width, 4 * width)
    groups = sum(5 * convolution(3, w, w) for w in widths)
    entries = convolution(3, width, width)
    for before, after in pairwise(widths):
        entries += convolution(3, before, after) + convolution(1, before, after)
    return convolution(3, 3, width) + entries + groups + 4 * width * 10


BY_HAND = {
    "boo2020/resnet20_x2_w2a2": resnet20(32),
    # Spoken digits of 32x64; fully connected layers count as kernels of one pixel.
    "sung2015/ffdnn_4x64_ternary": (
        convolution(1, 32 * 64, 64) + 3 * convolution(1, 64, 64) + 64 * 10
    ),
    # Images of 3x32x32, halved three times, and 64 hidden units.
    "sung2015/cnn_8-8-16_ternary": (
        convolution(5, 3, 8)
        + convolution(5, 8, 8)
        + convolution(5, 8, 16)
        + convolution(1, 16 * 4 * 4, 64)
        + 64 * 10
    ),
}


def test_every_recipe_has_its_number_here():
    assert {f"{path.parent.name}/{path.stem}" for path in recipes()} == set(TRAINED)


@pytest.mark.parametrize("recipe", TRAINED)
def test_networks_have_exactly_so_many_trained_parameters(recipe: str):
    network = network_of(resource(f"models/{recipe}.yaml"))
    assert numbers(network, "trained") == TRAINED[recipe]


@pytest.mark.parametrize("recipe", BY_HAND)
def test_the_numbers_are_what_the_layers_add_up_to(recipe: str):
    assert TRAINED[recipe] == BY_HAND[recipe]


def test_the_network_of_mlperf_tiny_has_its_published_size():
    network = network_of(resource("models/mlperf_tiny/resnet8_w2a2.yaml"))
    weights = sum(
        m.weight.numel() for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
    )
    # Banbury et al. 2021, the reference model's nine convolutions and one fully connected layer:
    # 432 + 2·2304 + 4608 + 9216 + 512 + 18432 + 36864 + 2048 + 640.
    assert weights == 77_360

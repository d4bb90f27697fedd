"""One forward and backward pass of a recipe's quantized network, on frames it has scales for.

Without starting scales every weight rounds to zero, and nothing flows through the network at all.
"""

import torch
from torch import nn

from qdeploy.data.load import data_spec
from qdeploy.networks.calibrated import pattern_frames
from qdeploy.networks.from_recipe import build_network
from qdeploy.networks.sections import ResnetNetwork
from qdeploy.quant.starting_scales import start_from_float
from qdeploy.recipe.models import Recipe

FRAMES = 4
SAMPLES = 256  # activations looked at for each scale
# Height and width that leave the last map two pixels a side: on a single pixel batch norm would see
# no more values than there are frames. Networks without a mean over the map take no other size.
SMALLEST = {"resnet": 8, "mobilenetv2": 17, "deeplab": 33}
SMALLEST_BEHIND_A_POOLED_STEM = 33


def small_shape(recipe: Recipe) -> tuple[int, int, int]:
    """The smallest (C, H, W) that takes the network through all of its layers."""
    network = recipe.network
    channels, height, width = data_spec(recipe.data).shape
    side = SMALLEST.get(network.type, max(height, width))
    if isinstance(network, ResnetNetwork) and network.stem == "7x7-pool":
        side = SMALLEST_BEHIND_A_POOLED_STEM
    return channels, min(side, height), min(side, width)


def one_step(recipe: Recipe) -> nn.Module:
    """The recipe's quantized network after a step that has reached all of it.

    Raises:
        AssertionError: names the layer whose weights have no gradient, one that is not finite, or
            one that is zero throughout.
    """
    shape = small_shape(recipe)
    network = build_network(recipe, quantized=True, shape=shape)
    floating = build_network(recipe, quantized=False, shape=shape)
    images = pattern_frames(shape, FRAMES, seed=0).float() / 256
    for module in floating.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0  # statistics of these frames alone
    with torch.no_grad():
        floating.train()(images)
    # The steps of least squared error take 25 seconds for the 44 million weights of a ResNet-101.
    quantization = recipe.quantization.model_copy(update={"weight_init": "statistics"})
    start_from_float(network, floating, images, quantization, SAMPLES)

    logits = network.train()(images)
    assert bool(logits.isfinite().all()), "logits that are not finite"
    assert not torch.equal(logits, logits[:1].expand_as(logits)), "the same logits for all frames"
    labels = torch.arange(logits[:, 0].numel()).reshape(logits[:, 0].shape) % logits.shape[1]
    nn.functional.cross_entropy(logits, labels).backward()
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            grad = module.weight.grad
            assert grad is not None, f"{name} has no gradient"
            assert bool(grad.isfinite().all()), f"{name} has a gradient that is not finite"
            assert bool(grad.any()), f"{name} has a gradient of zeros"
    return network

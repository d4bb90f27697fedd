"""Untrained networks with well-distributed codes: for tests, benchmarks and checks before training.

A network with random weights mostly computes constants: signals fade, a residual stream saturates,
and one class wins for every frame. Here batch norms get random gains (some negative) and offsets,
their statistics and every scale come from frames, and the head is made orthogonal to the mean of
its input, so that frames decide the class.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from qdeploy.networks.from_recipe import build_network
from qdeploy.quant.short_scales import shorten_scales
from qdeploy.quant.starting_scales import set_weight_scales, start_from_float
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.quantization import Quantization

CALIBRATION_FRAMES = 48
SAMPLES = 1 << 13
STATISTICS_PASSES = 2
NEGATIVE_GAINS = 0.15
HEAD_ROUNDS = 20


def pattern_frames(
    shape: tuple[int, int, int], count: int, seed: int, *, blobs: int = 5
) -> torch.Tensor:
    """Bytes, uint8 (count, C, H, W): smooth random patterns of varying contrast, and some noise.

    Args:
        shape: (C, H, W).
        count: number of frames.
        seed: of all random numbers.
        blobs: approximate number of bright and dark areas across the frame.
    """
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    coarse = torch.rand(count, channels, min(blobs, height), min(blobs, width), generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    contrast = 0.5 + torch.rand(count, 1, 1, 1, generator=generator)
    brightness = 0.4 * torch.rand(count, 1, 1, 1, generator=generator) - 0.2
    noise = 0.05 * torch.randn(count, channels, height, width, generator=generator)
    values = 0.5 + (1.6 * (smooth - 0.5)) * contrast + brightness + noise
    return (values * 255).round().clamp(0, 255).to(torch.uint8)


def calibrated_random(
    recipe: Recipe,
    seed: int = 0,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> nn.Module:
    """The recipe's quantized network, untrained, in evaluation mode, calibrated as described above.

    Args:
        recipe: resolved; its own seed is not used.
        seed: of weights, batch norms and frames.
        shape, classes: as in `build_network`.
    """
    seeded = recipe.model_copy(update={"seed": seed})
    floating = build_network(seeded, quantized=False, shape=shape, classes=classes)
    network = build_network(seeded, quantized=True, shape=shape, classes=classes)
    size: tuple[int, int, int] = floating.input_shape  # type: ignore[assignment]
    bits = recipe.quantization.input_bits
    frames = pattern_frames(size, CALIBRATION_FRAMES, seed)
    images = (frames >> (8 - bits)).float() * 2.0**-bits
    generator = torch.Generator().manual_seed(seed)
    _draw_norms(floating, generator)
    with torch.no_grad():
        _take_statistics(floating, images)
        start_from_float(network, floating, images, recipe.quantization, SAMPLES)
        # The quantized network has statistics of its own; each pass makes more layers consistent.
        for _ in range(STATISTICS_PASSES):
            _take_statistics(network, images)
        shorten_scales(network)
        _centre_head(network, images, recipe.quantization)
    return network.eval()


def _draw_norms(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            count = module.num_features
            gain = 0.6 + 0.8 * torch.rand(count, generator=generator)
            negative = torch.rand(count, generator=generator) < NEGATIVE_GAINS
            module.weight.data = torch.where(negative, -gain, gain)
            module.bias.data = 0.3 * torch.randn(count, generator=generator)


def _take_statistics(network: nn.Module, images: torch.Tensor) -> None:
    """Set mean and variance of every batch norm from these images alone."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    network.train()
    network(images)
    network.eval()
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


def _centre_head(network: nn.Module, images: torch.Tensor, quantization: Quantization) -> None:
    """Make the head's weights orthogonal to the mean of the features, and set the head's scale.

    Rounding to a few bits brings a component along the mean back: it is subtracted from each row
    repeatedly, and the row with the smallest one is kept.
    """
    head: nn.Module = network.head  # type: ignore[assignment]
    seen: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network(images)
    hook.remove()
    features = seen[0]
    mean = features.mean(dim=[axis for axis in range(features.dim()) if axis != 1])
    along = mean / mean.square().sum().clamp_min(1e-12)
    weight: torch.Tensor = head.weight  # type: ignore[assignment]
    rows = weight.flatten(1)
    rows = rows - (rows @ mean)[:, None] * along
    weight.copy_(rows.reshape(weight.shape))
    set_weight_scales(head, quantization)
    best, smallest = rows.clone(), torch.full((len(rows),), torch.inf)
    for _ in range(HEAD_ROUNDS):
        weight.copy_(rows.reshape(weight.shape))
        left = head.quant_weight().value.flatten(1) @ mean  # type: ignore[operator]
        better = left.abs() < smallest
        best[better], smallest[better] = rows[better], left.abs()[better]
        rows = rows - left[:, None] * along
    weight.copy_(best.reshape(weight.shape))

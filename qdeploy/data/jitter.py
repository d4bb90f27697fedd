"""Light and colours changed at random, as torchvision's `ColorJitter` does: brightness, contrast,
saturation, in this order."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from qdeploy.data.augment import Augmentation, Batch, Draws
from qdeploy.recipe.transforms import Jitter

# Rec. 601, as torchvision's grey.
_GREY = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class ColourJitter(Augmentation):
    """Brightness, contrast and saturation of each image by its own factors; labels are unchanged.

    Args:
        settings: how far.
    """

    settings: Jitter

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Numbers from 0 to 1, (count, 3), in the order in which `jittered` uses them."""
        return (torch.rand((count, 3), generator=generator),)

    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        """See the base class."""
        numbers = draws[0].to(images.device)
        x = jittered(images.to(torch.float32), self.settings, numbers)
        return x.round_().clamp_(0, 255).to(torch.uint8), labels


def jittered(x: torch.Tensor, settings: Jitter, numbers: torch.Tensor) -> torch.Tensor:
    """Images with other light and colours.

    Args:
        x: float (N, C, H, W), from 0 to 255.
        settings: how far.
        numbers: (N, 3), from 0 to 1: of brightness, contrast and saturation.
    """
    spreads = (settings.brightness, settings.contrast, settings.saturation)
    factors = [
        around(number, 1.0, spread)[:, None, None, None]
        for number, spread in zip(numbers.unbind(1), spreads, strict=True)
    ]
    if settings.brightness:
        x = (x * factors[0]).clamp(0, 255)
    if settings.contrast:
        x = _mixed(x, _grey(x).mean((1, 2, 3), keepdim=True), factors[1])
    if settings.saturation and x.shape[1] == len(_GREY):
        x = _mixed(x, _grey(x), factors[2])
    return x


def around(number: torch.Tensor, middle: float, spread: float) -> torch.Tensor:
    """Numbers from 0 to 1 as numbers from middle - spread to middle + spread."""
    return middle + spread * (2 * number - 1)


def _grey(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, 1, H, W): Rec. 601 of three channels, the mean of any others."""
    if x.shape[1] != len(_GREY):
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor(_GREY)[None, :, None, None]).sum(1, keepdim=True)


def _mixed(x: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return (share * x + (1 - share) * other).clamp(0, 255)

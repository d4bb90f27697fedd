"""Standard augmentation of images: flips, crops, rotation, scale, colours, erased rectangles.

The transformations are those of torchvision's `RandomAffine`, `ColorJitter` and `RandomErasing`,
for a batch at once and with numbers drawn outside of them (see `data.augment`); torch alone is
needed. Order: geometry, brightness, contrast, saturation, erasing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from qdeploy.data.augment import Augmentation, Batch, Draws
from qdeploy.data.jitter import around, jittered
from qdeploy.recipe.transforms import Transforms

# Area and aspect ratio of erased rectangles (Zhong et al. 2020, section 4.2).
_AREA, _RATIO = (0.02, 0.33), (0.3, 1 / 0.3)
_NUMBERS = 13


@dataclass(frozen=True)
class Varied(Augmentation):
    """Images changed as `Transforms` says; labels are unchanged.

    Args:
        settings: what is changed, and how far.
        padding: pixels by which an image is moved at most, in either direction.
    """

    settings: Transforms
    padding: int = 0

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Numbers from 0 to 1, (count, 13), in the order in which `apply` uses them."""
        return (torch.rand((count, _NUMBERS), generator=generator),)

    def apply(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> Batch:
        """See the base class."""
        numbers = draws[0].to(images.device)
        x = self._moved(images.to(torch.float32), numbers[:, :6])
        x = jittered(x, self.settings, numbers[:, 6:9])
        x = x.round_().clamp_(0, 255).to(torch.uint8)
        return self._erased(x, numbers[:, 9:]), labels

    def _moved(self, x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """Mirrored, rotated and scaled around the middle, moved by whole pixels; bilinear, black
        around."""
        keys, (height, width) = self.settings, x.shape[2:]
        mirrored, upside_down, angle, scale, down, right = numbers.unbind(1)
        across = torch.where(mirrored < keys.flip, -1.0, 1.0)
        along = torch.where(upside_down < keys.vertical_flip, -1.0, 1.0)
        turn = around(angle, 0.0, keys.rotation) * (math.pi / 180)
        size = around(scale, 1.0, keys.scale)
        # Pixel of the result -> pixel of the image: the inverse of what happens to the image.
        cos, sin = turn.cos() / size, turn.sin() / size
        rows = [cos * across, sin * along * height / width, self._shift(right, width)]
        columns = [-sin * across * width / height, cos * along, self._shift(down, height)]
        matrix = torch.stack([*rows, *columns], 1).reshape(-1, 2, 3)
        grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, "bilinear", "zeros", align_corners=False)

    def _shift(self, number: torch.Tensor, length: int) -> torch.Tensor:
        """Whole pixels, in the coordinates of a grid, which has 2 for the length of the image."""
        pixels = (number * (2 * self.padding + 1)).floor().clamp_(max=2 * self.padding)
        return (pixels - self.padding) * (2 / length)

    def _erased(self, x: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """A black rectangle somewhere in some of the images."""
        if not self.settings.erase:
            return x
        area, ratio, down, right = numbers.unbind(1)
        height, width = x.shape[2:]
        # One number says whether, and where it does, how large: it is uniform below `erase`.
        erased, area = area < self.settings.erase, area / self.settings.erase
        pixels = (_AREA[0] + (_AREA[1] - _AREA[0]) * area) * (height * width)
        aspect = torch.exp(math.log(_RATIO[0]) + math.log(_RATIO[1] / _RATIO[0]) * ratio)
        tall = (pixels * aspect).sqrt().round().clamp(1, height)
        wide = (pixels / aspect).sqrt().round().clamp(1, width)
        hole = _span(down, tall, height)[:, :, None] & _span(right, wide, width)[:, None, :]
        return x.masked_fill((hole & erased[:, None, None])[:, None], 0)


def _span(place: torch.Tensor, size: torch.Tensor, length: int) -> torch.Tensor:
    """For each image, which of `length` rows or columns lie in a span at a place from 0 to 1."""
    begin = (place * (length - size + 1)).floor().clamp(max=length - 1)
    past = torch.arange(length, device=place.device)[None] - begin[:, None]
    return (past >= 0) & (past < size[:, None])

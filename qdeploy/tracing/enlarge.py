"""Maps with more pixels, in the forms that become integers: repeated pixels, shuffled channels and
transposed convolutions."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from qdeploy.tracing.chains import Chain, RefusedError, Shape, check_weight
from qdeploy.tracing.operations import Kind

_DO = (
    "use mode='nearest' with integer factors, nn.PixelShuffle, or nn.ConvTranspose2d with the "
    "weights of the interpolation, and train it further"
)


def enlarged(mode: str, given: Shape, made: Shape) -> Chain:
    """Upsampling or interpolation, whose factors follow from the two shapes.

    Args:
        mode: as torch names it.
        given, made: shapes (C, H, W) or (C, L).

    Raises:
        RefusedError: pixels are mixed, or not all repeated the same number of times.
    """
    if made == given:
        return [(Kind.VIEW, nn.Identity())]
    # Of integer factors both give the same pixels.
    if mode not in ("nearest", "nearest-exact"):
        raise RefusedError(f"it enlarges in mode {mode!r}, which mixes pixels", _DO)
    sizes = list(zip(given[1:], made[1:], strict=True))
    if any(large % small for small, large in sizes):
        raise RefusedError(f"it resizes {given[1:]} to {made[1:]}", _DO)
    factors = tuple(float(large // small) for small, large in sizes)
    return [(Kind.POOL, nn.Upsample(scale_factor=factors, mode="nearest"))]


def upsampling(module: nn.Upsample, given: Shape, made: Shape) -> Chain:
    """`nn.Upsample` and its subclasses."""
    return enlarged(module.mode, given, made)


def shuffled(module: nn.PixelShuffle, given: Shape, made: Shape) -> Chain:
    """Channels laid out as pixels."""
    return [(Kind.POOL, nn.PixelShuffle(module.upscale_factor))]


def transposed(module: Any, given: Shape, made: Shape) -> Chain:
    """A transposed convolution; an `output_size` that it is called with is padding of its output.

    Raises:
        RefusedError: it takes more off the border than its window reaches.
    """
    check_weight(module)
    layer = copy.deepcopy(module)
    sizes = zip(given[1:], made[1:], module.stride, module.padding, module.dilation, strict=True)
    reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
    if any(p > r for p, r in zip(module.padding, reach, strict=True)):
        raise RefusedError(
            f"its padding {module.padding} takes off more than its window reaches",
            "use a padding below dilation * (kernel_size - 1) + 1",
        )
    layer.output_padding = tuple(
        large - ((small - 1) * stride - 2 * padding + r + 1)
        for (small, large, stride, padding, _), r in zip(sizes, reach, strict=True)
    )
    return [(Kind.LAYER, layer)]

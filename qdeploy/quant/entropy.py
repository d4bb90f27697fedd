"""Weight steps that follow the weights, so that every level is used as often (N2UQ, Liu et al.
2022, section 3.4).

Weights that are evenly distributed over [-2m, 2m], with m their mean magnitude, fill L levels
equally when these are

    Δ = 4·m / L

apart. The paper divides weights by their mean magnitude and multiplies by it again; a step that
is set after each update has the same values, and leaves the gradient of the weights as it is.
Binary weights, whose levels are 2Δ apart, get Δ = m.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qdeploy.quant.quantizers import (
    EntropyScaling,
    code_range,
    is_binary,
    is_quantized,
    tensor_quantizer,
)


class EntropySteps:
    """The steps of a network's weights that follow them; often none.

    Args:
        network: its parameters stay the same tensors.
    """

    def __init__(self, network: nn.Module) -> None:
        self._layers: list[tuple[torch.Tensor, torch.Tensor, float]] = []
        for layer in network.modules():
            if not isinstance(layer, nn.Conv2d | nn.Linear) or not is_quantized(layer):
                continue
            proxy: Any = layer.weight_quant
            scaling = tensor_quantizer(proxy).scaling_impl
            if isinstance(scaling, EntropyScaling):
                self._layers.append((scaling.value, layer.weight, _factor(proxy)))

    @torch.no_grad()
    def follow(self) -> None:
        """Set each step from the weights as they are."""
        for value, weight, factor in self._layers:
            size = weight.abs()
            axes = tuple(range(1 if value.numel() > 1 else 0, size.dim()))
            value.copy_((size.mean(dim=axes) * factor).reshape(value.shape))


def _factor(proxy: nn.Module) -> float:
    """Of the mean magnitude, for the threshold that Brevitas stores: the step times the number of
    codes above 0."""
    if is_binary(proxy):
        return 1.0
    lo, hi = code_range(proxy)
    return 4.0 * hi / (hi - lo + 1)

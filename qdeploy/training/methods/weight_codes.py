"""The float weights of quantized layers, in steps, and their codes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qdeploy.quant.quantizers import (
    code_range,
    is_binary,
    is_quantized,
    tensor_quantizer,
    weight_level_quantizer,
)


class LayerWeights:
    """Those of one layer, whose parameters stay the same tensors.

    Args:
        name: of the layer.
        layer: quantized.
    """

    def __init__(self, name: str, layer: Any) -> None:
        self.name = name
        self.weight: nn.Parameter = layer.weight
        self.lo, self.hi = code_range(layer.weight_quant)
        self._binary = is_binary(layer.weight_quant)
        quantizer = tensor_quantizer(layer.weight_quant)
        self._scaling = quantizer.scaling_impl
        self._levels = torch.ones((), device=self.weight.device)
        if not self._binary:
            bits = quantizer.msb_clamp_bit_width_impl()
            self._levels = quantizer.int_scaling_impl(bits).detach().to(self.weight.device)
        self._uneven = weight_level_quantizer(layer.weight_quant)
        self.bits = 1 if self._binary else (self.hi - self.lo).bit_length()
        if self._uneven is not None:
            self.bits = self._uneven.code_bits

    @torch.no_grad()
    def step(self) -> torch.Tensor:
        """Δ, one element or one per output channel, in a shape that goes with the weight's."""
        found: torch.Tensor = self._scaling(self.weight, self._levels)
        return found

    @torch.no_grad()
    def in_steps(self) -> torch.Tensor:
        """The weight divided by Δ, no more than the codes can be."""
        return (self.weight / self.step()).clamp_(self.lo, self.hi)

    @torch.no_grad()
    def codes(self, in_steps: torch.Tensor) -> torch.Tensor:
        """The codes of weights `in_steps`, as floating point numbers."""
        if self._binary:
            return torch.where(in_steps >= 0, 1.0, -1.0)
        return in_steps.round() if self._uneven is None else self._uneven.codes(in_steps)


def quantized_weights(network: nn.Module) -> list[LayerWeights]:
    """Of all layers with quantized weights, in the order of the network."""
    return [
        LayerWeights(name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and is_quantized(layer)
    ]

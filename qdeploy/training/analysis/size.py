"""Size and operations of a network.

Parameters are what float training learns: weights, and scale and bias of each batch norm. The
compression ratio is that of the weights: 32 bits against the bits of their codes. Bit operations
are multiply-accumulates times the bits of both operands.

The effective compression ratio (Sung, Shin and Hwang 2015) asks what the same accuracy costs in
float: the weights that a float network of the family needs for it, at 32 bits, against the bits of
the quantized network. It takes several runs of a family; between their sizes the accuracy is
interpolated over the logarithm of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from qdeploy.training.analysis.trace import FLOAT_BITS, WeightLayer


@dataclass(frozen=True)
class Size:
    """Totals of a network.

    Args:
        parameters: learned in float training.
        weights: of convolutions and fully connected layers.
        weight_bits: of all their codes together.
        macs, bit_operations: per image.
    """

    parameters: int
    weights: int
    weight_bits: int
    macs: int
    bit_operations: int

    @property
    def compression(self) -> float:
        """Bits of float weights over bits of the codes."""
        return FLOAT_BITS * self.weights / self.weight_bits


def size(network: nn.Module, layers: Sequence[WeightLayer]) -> Size:
    """Totals over `layers`, all layers with weights of `network`."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    weights = sum(layer.layer.weight.numel() for layer in layers)
    return Size(
        parameters=weights + sum(p.numel() for norm in norms for p in norm.parameters()),
        weights=weights,
        weight_bits=sum(layer.layer.weight.numel() * layer.weight_bits for layer in layers),
        macs=sum(layer.macs for layer in layers),
        bit_operations=sum(x.macs * x.weight_bits * x.input_bits for x in layers),
    )


def effective_compression(
    accuracy: float, weight_bits: int, family: Sequence[tuple[int, float]]
) -> float | None:
    """Effective compression ratio of a quantized network.

    Args:
        accuracy: of the quantized network.
        weight_bits: of all its weights.
        family: weights and accuracy of float networks.

    Returns:
        None where the family does not enclose the accuracy.
    """
    points = sorted(family)
    for (small, low), (large, high) in pairwise(points):
        if low <= accuracy <= high and low < high:
            share = (accuracy - low) / (high - low)
            needed = math.exp(math.log(small) + share * math.log(large / small))
            return FLOAT_BITS * needed / weight_bits
    return None

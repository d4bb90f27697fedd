"""How the weights of each layer lie among the levels that they are quantized to.

t = w / scale      steps of the layer, or of its channel; levels are integers
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qdeploy.build_records import WeightsOfLayer, WeightsRecord
from qdeploy.quant.quantizers import is_quantized
from qdeploy.training.analysis.trace import width

PER_STEP = 8
# Layers of more levels get bins of several steps.
MOST_LEVELS = 64


def weight_levels(network: nn.Module) -> WeightsRecord:
    """The record of a quantized network's layers in their order; float layers are left out."""
    layers = [
        _of_layer(name, layer)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d | nn.Linear) and is_quantized(layer)
    ]
    return WeightsRecord(layers=[one for one in layers if one is not None])


def _of_layer(name: str, layer: Any) -> WeightsOfLayer | None:
    with torch.no_grad():
        quantized = layer.quant_weight()
        scale = quantized.scale.double()
        steps = (layer.weight.double() / scale).flatten()
        codes = (quantized.value.double() / scale).flatten().round().long()
    if not torch.isfinite(steps).all():  # of a training that diverged
        return None
    lo, hi = int(codes.min()), int(codes.max())
    counts = torch.bincount(codes - lo, minlength=hi - lo + 1)
    per_step = PER_STEP if hi - lo < MOST_LEVELS else 1
    bins = (hi - lo + 1) * per_step
    at = ((steps - (lo - 0.5)) * per_step).floor().long().clamp(0, bins - 1)
    histogram = torch.bincount(at, minlength=bins)
    return WeightsOfLayer(
        layer=name,
        bits=width(layer.weight_quant),
        lo=lo,
        counts=counts.tolist(),
        histogram=histogram.tolist(),
        per_step=per_step,
    )

"""Weights among their levels: what the record counts is what the quantizer does."""

from __future__ import annotations

import numpy as np
import torch
from tiny_networks import tiny_bottleneck
from torch import nn

from qdeploy.training.analysis.weight_levels import weight_levels


def test_counts_are_those_of_the_quantized_weights_and_bins_those_of_the_trained_ones() -> None:
    network = tiny_bottleneck()
    layers = {name: one for name, one in network.named_modules() if hasattr(one, "quant_weight")}
    record = weight_levels(network)["layers"]
    assert [one["layer"] for one in record] == list(layers)
    for one in record:
        layer = layers[one["layer"]]
        with torch.no_grad():
            quantized = layer.quant_weight()
            codes = (quantized.value / quantized.scale).round().flatten().numpy()
            steps = (layer.weight.double() / quantized.scale.double()).flatten().numpy()
        values, counts = np.unique(codes, return_counts=True)
        assert [one["lo"] + at for at, count in enumerate(one["counts"]) if count] == list(values)
        assert [count for count in one["counts"] if count] == list(counts)
        assert one["counts"][0] and one["counts"][-1]
        edges = one["lo"] - 0.5 + np.arange(len(one["histogram"]) + 1) / one["per_step"]
        inside = np.clip(steps, edges[0], edges[-1] - 1e-9)
        assert one["histogram"] == np.histogram(inside, edges)[0].tolist()


def test_a_float_network_has_no_levels() -> None:
    assert weight_levels(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 2))) == {"layers": []}

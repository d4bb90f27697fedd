"""Segmentation in the manner of DeepLabV3 on MobileNetV2's features, without ASPP.

stem, stage1, ..., top (1x1), head (1x1): logits per pixel of a map `output_stride` times coarser
"""

from __future__ import annotations

import torch

from qdeploy.networks.mobilenet import ConvNormAct, Features
from qdeploy.quant.layers import LayerFactory
from qdeploy.recipe.networks import DeeplabNetwork


class Deeplab(Features):
    """The whole network: (N, C, H, W) in [0, 1) to logits (N, classes, H', W').

    H' = ceil(H / output_stride); `output_stride` is an attribute, for losses on the full image.
    """

    def __init__(
        self,
        network: DeeplabNetwork,
        make: LayerFactory,
        input_shape: tuple[int, int, int],
        classes: int,
    ) -> None:
        super().__init__(network, make, input_shape, network.stem_stride, network.output_stride)
        self.output_stride = network.output_stride
        self.top = ConvNormAct(make.at("top"), self.channels, network.top_channels, 1)
        self.head = make.conv("head", network.top_channels, classes, 1, position="last")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits per pixel."""
        logits: torch.Tensor = self.head(self.top(self.features(x)))
        return logits

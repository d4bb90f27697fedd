"""Segmentation like DeepLabV3 on MobileNetV2's features, without ASPP.

    stem, stage1, ..., top (1x1), head (1x1)      logits per pixel, `output_stride` times coarser

With image-level features, as published for DeepLabV3 on MobileNetV2, one quantizer Q, `join`, puts
both operands of the concatenation on one grid:

    y = fuse([Q(relu(norm(top(x)))), Q(relu(norm(image(mean(x)))))])        mean over the whole map
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.networks.mobilenet import ConvNormAct, Features
from qdeploy.networks.sections import DeeplabNetwork
from qdeploy.quant.layers import LayerFactory


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
        channels = network.top_channels
        pooled = network.image_pooling
        self.top = ConvNormAct(make.at("top"), self.channels, channels, 1, shared=pooled)
        self.join = make.join("join") if pooled else None
        if pooled:
            self.average = nn.AdaptiveAvgPool2d(1)
            self.image = ConvNormAct(make.at("image"), self.channels, channels, 1, shared=True)
            self.fuse = ConvNormAct(make.at("fuse"), 2 * channels, channels, 1)
        self.head = make.conv("head", channels, classes, 1, position="last")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits per pixel."""
        x = self.features(x)
        y = self.top(x)
        if self.join is not None:
            y = self.join(y)
            image = self.join(self.image(self.average(x)))
            y = self.fuse(torch.cat([y, image.expand_as(y)], dim=1))
        logits: torch.Tensor = self.head(y)
        return logits

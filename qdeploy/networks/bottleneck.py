"""Bottleneck blocks of the ImageNet ResNet-50 family: 1x1, 3x3 with the stride, 1x1 to four times
the width. Quantizers as in `blocks.py`: after the sum (basic) or a stream (pre-activation)."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.networks.blocks import projection
from qdeploy.quant.layers import LayerFactory

EXPANSION = 4


class Bottleneck(nn.Module):
    """The sum goes through ReLU and an activation quantizer."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // EXPANSION
        self.conv1 = make.conv("conv1", inputs, inner, 1)
        self.norm1 = nn.BatchNorm2d(inner)
        self.act1 = make.relu("act1")
        self.conv2 = make.conv("conv2", inner, inner, 3, stride, 1)
        self.norm2 = nn.BatchNorm2d(inner)
        self.act2 = make.relu("act2")
        self.conv3 = make.conv("conv3", inner, outputs, 1)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.shortcut = projection(make, inputs, outputs, stride)
        self.join = make.stream("join")
        self.act = make.relu("act")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (N, inputs, H, W) -> activations (N, outputs, H / stride, W / stride)."""
        y = self.act1(self.norm1(self.conv1(x)))
        y = self.act2(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        skip = x if self.shortcut is None else self.shortcut(x)
        z: torch.Tensor = self.act(self.join(skip) + self.join(y))
        return z


class PreactBottleneck(nn.Module):
    """Batch norm, ReLU and quantizer before each convolution."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // EXPANSION
        self.norm1 = nn.BatchNorm2d(inputs)
        self.act1 = make.relu("act1")
        self.conv1 = make.conv("conv1", inputs, inner, 1)
        self.norm2 = nn.BatchNorm2d(inner)
        self.act2 = make.relu("act2")
        self.conv2 = make.conv("conv2", inner, inner, 3, stride, 1)
        self.norm3 = nn.BatchNorm2d(inner)
        self.act3 = make.relu("act3")
        self.conv3 = make.conv("conv3", inner, outputs, 1)
        self.shortcut = projection(make, inputs, outputs, stride, bare=True)

    def forward(self, r: torch.Tensor, stream: nn.Module) -> torch.Tensor:
        """Residual stream (N, inputs, H, W) -> stream (N, outputs, H / stride, W / stride)."""
        a = self.act1(self.norm1(r))
        y = self.conv2(self.act2(self.norm2(self.conv1(a))))
        y = self.conv3(self.act3(self.norm3(y)))
        skip = r if self.shortcut is None else stream(self.shortcut(a))
        z: torch.Tensor = stream(skip + stream(y))
        return z

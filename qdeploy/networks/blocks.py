"""Residual blocks of two convolutions (Boo et al. 2020, figure 4 a and b).

Both operands of an addition go through one signed quantizer, so that they lie on one grid, as an
integer adder needs. R is that quantizer, A an activation quantizer after a ReLU.

    basic    A(R(x or shortcut(x)) + R(norm(conv(A(norm(conv(x)))))))
             R belongs to the block; its output is an unsigned activation.
    preact   R(r + R(conv(A(norm(conv(a))))))        a = A(norm(r))
             R belongs to the group: the residual stream r stays on its grid throughout, and the
             second R only saturates. Where shapes change, r is R(shortcut(a)).
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.quant.layers import LayerFactory


class Projection(nn.Module):
    """Shortcut where shapes change: 1x1 convolution and, unless `bare`, batch norm."""

    def __init__(
        self, make: LayerFactory, inputs: int, outputs: int, stride: int, bare: bool = False
    ) -> None:
        super().__init__()
        self.conv = make.conv("conv", inputs, outputs, 1, stride)
        self.norm = nn.Identity() if bare else nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y: torch.Tensor = self.norm(self.conv(x))
        return y


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the sum goes through ReLU and an activation quantizer."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = make.conv("conv1", inputs, outputs, 3, stride, 1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.act1 = make.relu("act1")
        self.conv2 = make.conv("conv2", outputs, outputs, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = projection(make, inputs, outputs, stride)
        self.join = make.stream("join")
        self.act = make.relu("act")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (N, inputs, H, W) -> activations (N, outputs, H / stride, W / stride)."""
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        skip = x if self.shortcut is None else self.shortcut(x)
        z: torch.Tensor = self.act(self.join(skip) + self.join(y))
        return z


class PreactBlock(nn.Module):
    """Batch norm, ReLU and quantizer before each of two 3x3 convolutions."""

    def __init__(self, make: LayerFactory, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.act1 = make.relu("act1")
        self.conv1 = make.conv("conv1", inputs, outputs, 3, stride, 1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.act2 = make.relu("act2")
        self.conv2 = make.conv("conv2", outputs, outputs, 3, 1, 1)
        self.shortcut = projection(make, inputs, outputs, stride, bare=True)

    def forward(self, r: torch.Tensor, stream: nn.Module) -> torch.Tensor:
        """Residual stream (N, inputs, H, W) -> stream (N, outputs, H / stride, W / stride)."""
        a = self.act1(self.norm1(r))
        y = self.conv2(self.act2(self.norm2(self.conv1(a))))
        skip = r if self.shortcut is None else stream(self.shortcut(a))
        z: torch.Tensor = stream(skip + stream(y))
        return z


def projection(
    make: LayerFactory, inputs: int, outputs: int, stride: int, bare: bool = False
) -> Projection | None:
    """The module `shortcut` of a block; None where the shape does not change."""
    if inputs == outputs and stride == 1:
        return None
    return Projection(make.at("shortcut"), inputs, outputs, stride, bare)

"""Inverted residual blocks with linear bottlenecks (Sandler et al. 2018; Boo et al., figure 4 c).

    y = R(norm(project(A(norm(depthwise(A(norm(expand(x))))))))))
    r = R(skip + y)                                 with a residual connection

R is the signed quantizer of the stage or group: the outputs of all blocks of a stage are codes on
its grid. `skip` is x where x is on the grid already, R(x) where it comes from another quantizer,
and R(shortcut(x)) where shapes change and the network projects.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from qdeploy.networks.blocks import projection
from qdeploy.quant.layers import LayerFactory

Residual = Literal["none", "same", "requantized", "projected"]


class InvertedBlock(nn.Module):
    """1x1 expansion (none where `hidden` equals `inputs` and `expand` is false), 3x3 depthwise with
    stride and dilation, linear 1x1 projection."""

    def __init__(
        self,
        make: LayerFactory,
        inputs: int,
        hidden: int,
        outputs: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        residual: Residual = "none",
        expand: bool = True,
    ) -> None:
        super().__init__()
        self.expand = None
        if expand:
            self.expand = make.conv("expand", inputs, hidden, 1)
            self.norm1 = nn.BatchNorm2d(hidden)
            self.act1 = make.relu("act1")
        self.depthwise = make.conv(
            "depthwise", hidden, hidden, 3, stride, dilation, groups=hidden, dilation=dilation
        )
        self.norm2 = nn.BatchNorm2d(hidden)
        self.act2 = make.relu("act2")
        self.project = make.conv("project", hidden, outputs, 1)
        self.norm3 = nn.BatchNorm2d(outputs)
        self.residual = residual
        self.shortcut = None
        if residual == "projected":
            self.shortcut = projection(make, inputs, outputs, stride)

    def forward(self, x: torch.Tensor, stream: nn.Module) -> torch.Tensor:
        """(N, inputs, H, W) -> stream (N, outputs, H / stride, W / stride)."""
        y = x if self.expand is None else self.act1(self.norm1(self.expand(x)))
        y = self.act2(self.norm2(self.depthwise(y)))
        y = stream(self.norm3(self.project(y)))
        if self.residual == "none":
            return y
        skip = x if self.shortcut is None else self.shortcut(x)
        if self.residual != "same":
            skip = stream(skip)
        z: torch.Tensor = stream(skip + y)
        return z

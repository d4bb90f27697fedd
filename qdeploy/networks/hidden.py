"""A hidden fully connected layer."""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.quant.layers import LayerFactory, Position


class Hidden(nn.Module):
    """Fully connected layer, batch norm, ReLU; with a quantizer of its own unless `shared`: the
    network then quantizes all hidden layers on one grid."""

    def __init__(
        self,
        make: LayerFactory,
        inputs: int,
        outputs: int,
        position: Position,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.fc = make.linear("fc", inputs, outputs, position)
        self.norm = nn.BatchNorm1d(outputs)
        self.act = nn.ReLU() if shared else make.relu("act")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs) -> (N, outputs)."""
        y: torch.Tensor = self.act(self.norm(self.fc(x)))
        return y

"""Fully connected networks (Boo et al. 2020, section 3.2), named there `width`-`depth`.

h_1     = act(norm(W_1 · x))
h_{l+1} = act(norm(W_{l+1} · h_l))
h_{l+1} = 0.5 · (h_l + act(norm(W_{l+1} · h_l)))          with residual connections
logits  = W_head · h_depth
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.quant.layers import LayerFactory, Position
from qdeploy.recipe.models import FcdnnNetwork


class Hidden(nn.Module):
    """Fully connected layer, batch norm, ReLU; with `residual`, its input is averaged in."""

    def __init__(
        self, make: LayerFactory, inputs: int, outputs: int, position: Position, residual: bool
    ) -> None:
        super().__init__()
        self.fc = make.linear(inputs, outputs, position)
        self.norm = nn.BatchNorm1d(outputs)
        self.act = make.relu()
        self.join = make.join() if residual else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs) -> (N, outputs)."""
        y: torch.Tensor = self.act(self.norm(self.fc(x)))
        if self.join is not None:
            y = self.join(0.5 * (x + y))
        return y


class Fcdnn(nn.Module):
    """The whole network: (N, C, H, W) in [0, 1) to logits (N, classes)."""

    def __init__(
        self,
        network: FcdnnNetwork,
        make: LayerFactory,
        input_shape: tuple[int, int, int],
        classes: int,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        channels, height, width = input_shape
        self.input_quant = make.input()
        self.flatten = nn.Flatten()
        inputs = channels * height * width
        names = [f"hidden{index + 1}" for index in range(network.depth)]
        for index, name in enumerate(names):
            position: Position = "first" if index == 0 else "inside"
            residual = network.residual and index > 0
            self.add_module(name, Hidden(make, inputs, network.width, position, residual))
            inputs = network.width
        self.head = make.linear(inputs, classes, "last")
        self._order = ["input_quant", "flatten", *names, "head"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x

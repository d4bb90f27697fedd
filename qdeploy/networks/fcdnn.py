"""Fully connected networks (Boo et al. 2020, section 3.2), called `width`-`layers` there, where the
head counts as a layer: 200-4 has three hidden layers (81 thousand parameters, appendix A).

h_1     = act(norm(W_1 · x))
h_{l+1} = act(norm(W_{l+1} · h_l))
h_{l+1} = 0.5 · (h_l + act(norm(W_{l+1} · h_l)))          with residual connections
logits  = W_head · h_depth

With residual connections one quantizer Q, `join`, serves the whole chain, so that both operands of
every sum lie on one grid and an integer adder can take them:

h_1     = Q(relu(norm(W_1 · x)))
h_{l+1} = Q(0.5 · (h_l + Q(relu(norm(W_{l+1} · h_l)))))
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.networks.hidden import Hidden
from qdeploy.networks.sections import FcdnnNetwork
from qdeploy.quant.layers import LayerFactory, Position


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
        self._hidden = [f"hidden{index + 1}" for index in range(network.depth)]
        for index, name in enumerate(self._hidden):
            position: Position = "first" if index == 0 else "inside"
            hidden = Hidden(make.at(name), inputs, network.units, position, network.residual)
            self.add_module(name, hidden)
            inputs = network.units
        self.join = make.join("join") if network.residual else None
        self.head = make.linear("head", inputs, classes, "last")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.flatten(self.input_quant(x))
        for index, name in enumerate(self._hidden):
            y: torch.Tensor = getattr(self, name)(x)
            if self.join is not None:
                y = self.join(y)
                if index:
                    y = self.join(0.5 * (x + y))
            x = y
        logits: torch.Tensor = self.head(x)
        return logits

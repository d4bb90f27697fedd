"""Element-wise scaling of the gradient of quantized weights (EWGS, Lee et al. 2021, eq. 5).

    g' = g · (1 + δ · sign(g) · (t - q))

with the weight t in steps, clipped to its codes, and its code q. A gradient that moves a weight
away from the value that its code stands for is larger than one that moves it back. The paper scales
in every element that a batch adds up; here the gradient of the whole batch is scaled once, L_Lip's
included, which is the same on any number of processes. Values of the forward pass do not change.
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.training.methods.method import Method
from qdeploy.training.methods.weight_codes import quantized_weights


class GradientScaling(Method):
    """Scales after the backward pass.

    Args:
        factor: δ.
    """

    def __init__(self, network: nn.Module, factor: float) -> None:
        self._layers, self._factor = quantized_weights(network), factor

    @torch.no_grad()
    def before_update(self, step: int) -> None:
        for layer in self._layers:
            grad = layer.weight.grad
            if grad is not None:
                t = layer.in_steps()
                grad.addcmul_(grad.abs(), t - layer.codes(t), value=self._factor)

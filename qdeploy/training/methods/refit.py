"""Weight steps that are chosen anew every few epochs, because weights move and steps do not."""

from __future__ import annotations

from torch import nn

from qdeploy.quant.starting_scales import set_weight_scales
from qdeploy.recipe.quantization import Quantization
from qdeploy.training.methods.method import Method


class Refit(Method):
    """Chooses all steps of weights as at the start of retraining.

    Args:
        quantization: decides how.
        epochs: how often.
    """

    def __init__(self, network: nn.Module, quantization: Quantization, epochs: int) -> None:
        self._network, self._quantization, self._epochs = network, quantization, epochs

    def begin_epoch(self, epoch: int) -> None:
        if epoch and epoch % self._epochs == 0:
            set_weight_scales(self._network, self._quantization)

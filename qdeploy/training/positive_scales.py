"""Learned scales, and lengths between thresholds, stay positive: a step of the optimizer at most
halves one.

A gradient can be larger than the scale itself. Brevitas takes the absolute value of a scale that
has crossed zero, which then grows again on the other side: it bounces, and all codes change. Steps
that follow the weights are not learned; they are set here, after each step of the optimizer.
"""

from __future__ import annotations

import torch
from brevitas.core.restrict_val import FloatRestrictValue
from brevitas.core.scaling import ParameterScaling
from torch import nn

from qdeploy.quant.entropy import EntropySteps
from qdeploy.quant.thresholds import learned_segments

LEAST_SHARE = 0.5


class PositiveScales:
    """The learned scales and lengths of a network, apart from scales that are powers of two, which
    are kept as logarithms.

    Args:
        network: its parameters stay the same tensors.
    """

    def __init__(self, network: nn.Module) -> None:
        self._values = [
            module.value
            for module in network.modules()
            if isinstance(module, ParameterScaling)
            and module.value.requires_grad
            and isinstance(module.restrict_clamp_scaling.restrict_value_impl, FloatRestrictValue)
        ]
        self._values += [one.lengths for one in learned_segments(network)]
        self._least: list[torch.Tensor] = []
        self._following = EntropySteps(network)

    @torch.no_grad()
    def before(self) -> None:
        """Note how small each may become in the step that follows."""
        if self._values:
            self._least = list(torch._foreach_abs(self._values))
            torch._foreach_mul_(self._least, LEAST_SHARE)

    @torch.no_grad()
    def after(self) -> None:
        """Bring back those that became smaller, and set those that follow the weights."""
        if self._values:
            torch._foreach_maximum_(self._values, self._least)
        self._following.follow()

"""Weights that oscillate between two codes, damped or frozen (Nagel et al. 2022, section 4).

damping    loss + λ · Σ (clip(w) - Q(w))²,  with the gradient of clip(w) only; λ rises from 0
freezing   o = 1 in a step in which the code changes in the other direction than last time
           f <- m · o + (1 - m) · f                 frequency of oscillations
           c <- m · code + (1 - m) · c              mean of the code
           where f exceeds its limit: the weight stays at round(c) from then on; the limit falls
"""

from __future__ import annotations

from math import cos, pi

import torch
from torch import nn

from qdeploy.training.methods.method import Method
from qdeploy.training.methods.weight_codes import LayerWeights, quantized_weights


def along_cosine(begin: float, end: float, done: float) -> float:
    """From `begin` to `end` along half a cosine; `done` in [0, 1]."""
    return end + (begin - end) * (1 + cos(pi * done)) / 2


class Damping(Method):
    """Pulls weights to the values of their codes.

    Args:
        factor: λ at the end.
        steps: of the phase.
    """

    def __init__(self, network: nn.Module, factor: float, steps: int) -> None:
        self._layers, self._factor, self._steps = quantized_weights(network), factor, steps

    @torch.no_grad()
    def before_update(self, step: int) -> None:
        factor = along_cosine(0.0, self._factor, step / self._steps)
        for layer in self._layers:
            if layer.weight.grad is not None:
                t = layer.in_steps()
                distance = (t - layer.codes(t)) * layer.step()
                layer.weight.grad.add_(distance, alpha=2 * factor)


class Freezing(Method):
    """Stops weights that oscillate.

    Args:
        limits: of the frequency, at the start and at the end.
        momentum: m.
        steps: of the phase.
    """

    def __init__(
        self, network: nn.Module, limits: tuple[float, float], momentum: float, steps: int
    ) -> None:
        self._layers = [_Frozen(layer, momentum) for layer in quantized_weights(network)]
        self._limits, self._steps = limits, steps

    def after_update(self, step: int) -> None:
        limit = along_cosine(*self._limits, step / self._steps)
        for layer in self._layers:
            layer.follow(limit)

    def tensors(self) -> dict[str, torch.Tensor]:
        return {
            f"oscillation/{layer.name}/{key}": value.clone()
            for layer in self._layers
            for key, value in layer.state.items()
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        for layer in self._layers:
            for key, value in layer.state.items():
                value.copy_(tensors[f"oscillation/{layer.name}/{key}"])


class _Frozen:
    """One layer; `state` is changed in place. Codes have at most 8 bits."""

    def __init__(self, layer: LayerWeights, momentum: float) -> None:
        self.name, self._layer, self._momentum = layer.name, layer, momentum
        codes = layer.codes(layer.in_steps())
        nothing = torch.zeros_like(codes)
        self.state = {
            "code": codes.to(torch.int8),
            "mean": codes.clone(),
            "direction": nothing.to(torch.int8),
            "frequency": nothing,
            "frozen": nothing.to(torch.bool),
            "at": nothing.to(torch.int8),
        }

    @torch.no_grad()
    def follow(self, limit: float) -> None:
        """The optimizer has made a step."""
        state, layer = self.state, self._layer
        codes = layer.codes(layer.in_steps())
        direction = (codes - state["code"]).sign().to(torch.int8)
        turned = direction * state["direction"] < 0
        state["frequency"].lerp_(turned.float(), self._momentum)
        state["mean"].lerp_(codes, self._momentum)
        torch.where(direction != 0, direction, state["direction"], out=state["direction"])
        newly = (state["frequency"] > limit) & ~state["frozen"]
        torch.where(newly, layer.codes(state["mean"]).to(torch.int8), state["at"], out=state["at"])
        state["frozen"] |= newly
        held = state["at"].to(layer.weight.dtype)
        layer.weight.copy_(torch.where(state["frozen"], held * layer.step(), layer.weight))
        torch.where(state["frozen"], state["at"], codes.to(torch.int8), out=state["code"])

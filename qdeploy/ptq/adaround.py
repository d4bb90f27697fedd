"""AdaRound (Nagel et al. 2020): whether a weight is rounded up or down is learned, layer by layer.

    W̃ = Δ · clip(floor(W / Δ) + h(V), lo, hi)        h(V) = clip(sigmoid(V)·1.2 - 0.1, 0, 1)
    minimize over V:   mean over places |W·x - W̃·x̃|² + λ · Σ (1 - |2·h(V) - 1|^β)

x is the layer's input in float, x̃ with the layers before it quantized; β falls from 20 to 2 and so
drives h to 0 or 1. h is Brevitas' `LearnedRoundHardSigmoid`. Labels are not needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from brevitas.core.function_wrapper.learned_round import LearnedRoundHardSigmoid
from torch import nn

from qdeploy.observer import Observer
from qdeploy.ptq.steps import Batches, in_float
from qdeploy.quant.quantizers import code_range, is_quantized

STEPS = 1000
BATCH = 32
RATE = 1e-2
WEIGHT = 0.01
WARM_UP = 0.2  # share of the steps without the term that rounds
BETAS = (20.0, 2.0)
ZETA, GAMMA = 1.1, -0.1


class _Reached(Exception):  # noqa: N818 (it ends a forward pass)
    """The layer was called."""


def learn_rounding(network: nn.Module, batches: Batches, observer: Observer) -> None:
    """Replace the weight of each quantized layer by one that rounds to the learned codes.

    Args:
        network: in evaluation mode, with all scales set.
        batches: of its input.
    """
    layers: dict[str, Any] = {
        name: layer for name, layer in network.named_modules() if is_quantized(layer)
    }
    original = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    order = _order(network, layers, batches[0])
    with observer.meter("adaround", len(order) * STEPS, "steps") as meter:
        for name in order:
            learned = {one: layer.weight.detach().clone() for one, layer in layers.items()}
            _put(layers, original)
            with in_float(network), torch.no_grad():
                given = _inputs(network, layers[name], batches)
                wanted = layers[name].inner_forward_impl(given, original[name], None)
            _put(layers, learned)
            given = _inputs(network, layers[name], batches)
            _learn(layers[name], given, wanted, meter.advance)


def _order(network: nn.Module, layers: dict[str, nn.Module], batch: torch.Tensor) -> list[str]:
    """Names of the layers as they are called."""
    called: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in layers.items()
    ]
    with torch.no_grad():
        network(batch[:1])
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(called))


def _inputs(network: nn.Module, layer: nn.Module, batches: Batches) -> torch.Tensor:
    found: list[torch.Tensor] = []

    def stop(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        found.append(inputs[0].detach())
        raise _Reached

    hook = layer.register_forward_pre_hook(stop)
    with torch.no_grad():
        for batch in batches:
            try:
                network(batch)
            except _Reached:
                continue
    hook.remove()
    return torch.cat(found)


def _put(layers: dict[str, nn.Module], weights: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, weight in weights.items():
            layers[name].weight.copy_(weight)  # type: ignore[operator]


def _learn(
    layer: Any, given: torch.Tensor, wanted: torch.Tensor, advance: Callable[[float], None]
) -> None:
    lo, hi = code_range(layer.weight_quant)
    step = layer.weight_quant(layer.weight).scale.detach()
    scaled = (layer.weight.detach() / step).clamp(lo, hi)
    below = scaled.floor()
    share = (scaled - below).clamp(0.01, 0.99)
    free = (-torch.log((ZETA - GAMMA) / (share - GAMMA) - 1)).requires_grad_()
    relaxed = LearnedRoundHardSigmoid(ZETA, GAMMA).train()
    optimizer = torch.optim.Adam([free], lr=RATE)
    for index in range(STEPS):
        chosen = torch.randint(len(given), (min(BATCH, len(given)),))
        up = relaxed(free)
        weight = step * (below + up).clamp(lo, hi)
        made = layer.inner_forward_impl(given[chosen], weight, None)
        loss = (made - wanted[chosen]).square().sum(1).mean()
        if index >= WARM_UP * STEPS:
            done = (index / STEPS - WARM_UP) / (1 - WARM_UP)
            beta = BETAS[1] + (BETAS[0] - BETAS[1]) * (1 - done)
            loss = loss + WEIGHT * (1 - (2 * up - 1).abs().pow(beta)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        advance(1)
    with torch.no_grad():
        layer.weight.copy_(step * (below + (relaxed(free) > 0.5)).clamp(lo, hi))

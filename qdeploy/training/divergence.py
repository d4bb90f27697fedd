"""Divergence: when numbers stop being finite, which step it was, and which layer was first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qdeploy.errors import TrainingError
from qdeploy.quant import native
from qdeploy.quant.native_stage import Arrays

# Beyond it L_Lip's gradient, not the loss's, is what makes weights grow.
LARGE_WEIGHTS = 1e3
STATISTICS = {"running_mean": "running mean", "running_var": "running variance"}


class FiniteChecks:
    """Whether a network's numbers are finite, asked after every step: the tensors are listed once.

    Args:
        network: its parameters and buffers stay the same tensors.
    """

    def __init__(self, network: nn.Module) -> None:
        self._parameters = list(network.named_parameters())
        self._statistics = [item for item in network.named_buffers() if _statistic(item[0])]
        values = [value for _, value in (*self._parameters, *self._statistics)]
        plain = all(one.dtype == torch.float32 and one.device.type == "cpu" for one in values)
        self._arrays = Arrays(len(values)) if plain and native.missing() is None else None

    def divergent(self) -> str | None:
        """What is not finite, a running statistic or else a gradient; None in a healthy network."""
        if self._arrays is not None:
            found = [p.grad for _, p in self._parameters if p.grad is not None]
            if self._arrays.all_finite([*found, *(value for _, value in self._statistics)]):
                return None
        elif bool(torch.isfinite(self.largest())):
            return None
        return self.statistic() or self.gradient()

    def largest(self) -> torch.Tensor:
        """The largest magnitude of gradients and running statistics, a number on their device; not
        finite where one of them is not."""
        gradients = [p.grad for _, p in self._parameters if p.grad is not None]
        return _largest([value for _, value in self._statistics] + gradients)

    def statistic(self) -> str | None:
        """The first batch norm whose running statistics are not finite."""
        if not self._statistics or _all_finite([value for _, value in self._statistics]):
            return None
        for name, value in self._statistics:
            if not bool(torch.isfinite(value).all()):
                return f"{_statistic(name)} of `{_layer(name)}`"
        return None

    def gradient(self) -> str | None:
        """The layer whose gradient stopped being finite first, the one nearest to the output."""
        named = [(name, p.grad) for name, p in self._parameters if p.grad is not None]
        if _all_finite([gradient for _, gradient in named]):
            return None
        for name, gradient in reversed(named):
            if not bool(torch.isfinite(gradient).all()):
                return f"gradient of `{_layer(name)}`"
        return None


def cause(network: nn.Module, found: tuple[int, str, str] | None) -> str:
    """A clause on what `first_divergent` found or, where that is nothing, on the layer with the
    largest weights."""
    if found is not None:
        return f"the first layer that is not finite is `{found[1]}`: {found[2]}"
    name, value = max(network.named_parameters(), key=lambda item: item[1].abs().max().item())
    return f"the largest weights, {value.abs().max().item():.3g}, are those of `{_layer(name)}`"


def reason(network: nn.Module, lipschitz: float) -> str:
    """Why the numbers of a training with that weight of L_Lip stopped being finite, a clause."""
    largest = max(float(p.detach().abs().max()) for p in network.parameters())
    if lipschitz > 0 and largest >= LARGE_WEIGHTS:
        return (
            f"the gradient of {lipschitz:g}·L_Lip grows with the cube of the weights: once they "
            "are large, every step makes them larger"
        )
    return "the learning rate is too high for this network, or its scales were lost"


def first_divergent(network: nn.Module, batch: torch.Tensor) -> tuple[int, str, str] | None:
    """Run `batch` and find the first layer, in execution order, that is not finite.

    Returns:
        Its position in that order, its name, and what of it is not finite; None when all are.
    """
    found: list[tuple[int, str, str]] = []
    position = 0

    def look(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal position
            position += 1
            what = _divergent_part(module, output)
            if what is not None and not found:
                found.append((position, _layer(f"{name}.output"), what))

        return hook

    hooks = [m.register_forward_hook(look(n)) for n, m in network.named_modules() if n]
    try:
        with torch.no_grad():
            network(batch)
    finally:
        for handle in hooks:
            handle.remove()
    return found[0] if found else None


def divergence_error(
    what: str,
    cause: str,
    why: str,
    where: str,
    checkpoint: str | None,
    run: str | None,
) -> TrainingError:
    """The error for a `what` that is no longer a finite number, at step `where`; `run` is the
    folder when there are earlier phases, to start again after them."""
    kept = f"the last good checkpoint is {checkpoint}; " if checkpoint else ""
    again = f"into another folder with --start-from {run}" if run else "again with --force"
    return TrainingError(
        f"the {what} is no longer a finite number; {cause}",
        where=where,
        why=why,
        do=f"{kept}lower the phase's optimizer.lr and train {again}",
    )


def _divergent_part(module: nn.Module, output: object) -> str | None:
    for name, parameter in module.named_parameters(recurse=False):
        if not bool(torch.isfinite(parameter).all()):
            return "its scale" if name == "value" else f"its {name}"
    for name, buffer in module.named_buffers(recurse=False):
        if not bool(torch.isfinite(buffer).all()):
            return f"its {STATISTICS.get(name, name)}"
    values: Any = output
    if isinstance(values, torch.Tensor) and not bool(torch.isfinite(values).all()):
        return "its output"
    return None


def _all_finite(values: list[torch.Tensor]) -> bool:
    """Whether all are finite; one number from the device answers it."""
    return bool(torch.isfinite(_largest(values)))


def _largest(values: list[torch.Tensor]) -> torch.Tensor:
    """The largest magnitude, 0 of nothing; not-a-number where there is one."""
    if not values:
        return torch.zeros(())
    return torch.stack(torch._foreach_norm(values, math.inf)).amax()


def _statistic(name: str) -> str | None:
    return STATISTICS.get(name.rsplit(".", 1)[-1])


def _layer(parameter: str) -> str:
    """The convolution, fully connected, norm or activation layer that owns a parameter."""
    owner = parameter.rsplit(".", 1)[0]
    for mark in (".weight_quant", ".act_quant"):
        owner = owner.split(mark)[0]
    return owner

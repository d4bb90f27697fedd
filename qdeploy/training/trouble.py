"""When numbers stop being finite: which step, and which layer first."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from qdeploy.errors import TrainingError


def culprit(network: nn.Module, batch: torch.Tensor) -> str:
    """Half a sentence on the first layer whose weights or output are not finite or, where all
    are, on the layer with the largest weights."""
    layer = _first_bad_layer(network, batch)
    if layer is not None:
        return f"the first layer that is not finite is `{layer}`"
    name, value = max(network.named_parameters(), key=lambda item: item[1].abs().max().item())
    return f"the largest weights, {value.abs().max().item():.3g}, are those of `{_layer(name)}`"


def _first_bad_layer(network: nn.Module, batch: torch.Tensor) -> str | None:
    for name, value in network.named_parameters():
        if not bool(torch.isfinite(value).all()):
            return _layer(name)
    found: list[str] = []

    def look(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and not bool(torch.isfinite(output).all()):
                found.append(name)

        return hook

    hooks = [m.register_forward_hook(look(n)) for n, m in network.named_modules() if n]
    try:
        with torch.no_grad():
            network(batch)
    finally:
        for handle in hooks:
            handle.remove()
    return _layer(f"{found[0]}.output") if found else None


def not_finite(
    what: str, network: nn.Module, batch: torch.Tensor, where: str, checkpoint: str | None
) -> TrainingError:
    """The error for a `what` that is no longer a finite number, at step `where`."""
    kept = f"the last good checkpoint is {checkpoint}; " if checkpoint else ""
    return TrainingError(
        f"the {what} is no longer a finite number; {culprit(network, batch)}",
        where=where,
        why="the learning rate is too high for this network, or its scales were lost",
        do=f"{kept}lower the phase's optimizer.lr and train again with --force",
    )


def _layer(parameter: str) -> str:
    """The convolution, fully connected, norm or activation layer that owns a parameter."""
    owner = parameter.rsplit(".", 1)[0]
    for mark in (".weight_quant", ".act_quant"):
        owner = owner.split(mark)[0]
    return owner

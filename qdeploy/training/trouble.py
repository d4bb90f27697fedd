"""When numbers stop being finite: which step, and which layer first."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from qdeploy.errors import TrainingError


def first_bad_layer(network: nn.Module, batch: torch.Tensor) -> str | None:
    """Path of the first layer whose weights or output are not finite, None when all are."""
    for name, value in network.named_parameters():
        if not bool(torch.isfinite(value).all()):
            return _layer(network, name)
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
    return found[0] if found else None


def not_finite(
    what: str, network: nn.Module, batch: torch.Tensor, where: str, checkpoint: str | None
) -> TrainingError:
    """The error for a `what` that is no longer a finite number, at step `where`."""
    layer = first_bad_layer(network, batch)
    kept = f"the last good checkpoint is {checkpoint}; " if checkpoint else ""
    return TrainingError(
        f"the {what} is no longer a finite number"
        + (f"; the first layer that is not finite is `{layer}`" if layer else ""),
        where=where,
        why="the learning rate is too high for this network, or its scales were lost",
        do=f"{kept}lower the phase's optimizer.lr and train again with --force",
    )


def _layer(network: nn.Module, parameter: str) -> str:
    """The convolution, fully connected, norm or activation layer that owns a parameter."""
    owner = parameter.rsplit(".", 1)[0]
    for mark in (".weight_quant", ".act_quant"):
        owner = owner.split(mark)[0]
    return owner

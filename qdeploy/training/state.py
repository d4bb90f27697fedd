"""All state that a training carries from step to step, as named tensors.

    network/<name>      parameters and buffers
    momentum/<name>     SGD's momentum of a parameter; absent before its first step
    random              torch's global random state

Data order needs no state (see `batches`).
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.errors import CheckpointError
from qdeploy.recipe.models import Optimizer

NETWORK = "network/"
MOMENTUM = "momentum/"
RANDOM = "random"


def make_optimizer(network: nn.Module, settings: Optimizer) -> torch.optim.SGD:
    """SGD with momentum; L2 regularization acts on weights only, not on norms and scales."""
    weights = [p for p in network.parameters() if p.dim() > 1 and not _is_scale(p, network)]
    chosen = {id(p) for p in weights}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)


def collect(network: nn.Module, optimizer: torch.optim.SGD) -> dict[str, torch.Tensor]:
    """The state as tensors; a copy."""
    tensors = {NETWORK + name: value.clone() for name, value in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if momentum is not None:
            tensors[MOMENTUM + name] = momentum.clone()
    tensors[RANDOM] = torch.get_rng_state()
    return tensors


def restore_network(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Load the network's part of a state.

    Raises:
        CheckpointError: its tensors are not those of the network.
    """
    try:
        network.load_state_dict(_part(tensors, NETWORK))
    except RuntimeError as error:
        raise _other(error) from error


def restore_training(
    network: nn.Module, optimizer: torch.optim.SGD, tensors: dict[str, torch.Tensor]
) -> None:
    """Load momentum and the random state, for resuming inside a phase.

    Raises:
        CheckpointError: they are not those of the network.
    """
    try:
        _restore_training(network, optimizer, tensors)
    except (RuntimeError, KeyError, TypeError) as error:
        raise _other(error) from error


def _other(error: Exception) -> CheckpointError:
    return CheckpointError(
        "the tensors of a checkpoint are not those of the recipe's network",
        why=next(iter(str(error).splitlines()), type(error).__name__),
        do="use --force to start this run over",
    )


def _restore_training(
    network: nn.Module, optimizer: torch.optim.SGD, tensors: dict[str, torch.Tensor]
) -> None:
    momentum = _part(tensors, MOMENTUM)
    for name, parameter in network.named_parameters():
        if name in momentum:
            buffer = torch.empty_like(parameter).copy_(momentum[name])
            optimizer.state[parameter]["momentum_buffer"] = buffer
    torch.set_rng_state(tensors[RANDOM])


def all_finite(network: nn.Module) -> bool:
    """Whether every parameter and buffer is a finite number."""
    return all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _is_scale(parameter: nn.Parameter, network: nn.Module) -> bool:
    # Scales per output channel have as many axes as the weight.
    return any(
        parameter is other
        for name, other in network.named_parameters()
        if name.endswith("scaling_impl.value")
    )

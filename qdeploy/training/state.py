"""All state that a training carries from step to step, as named tensors.

    network/<name>      parameters and buffers
    momentum/<name>     SGD's momentum of a parameter; absent before its first step
    exp_avg/<name>, exp_avg_sq/<name>, step/<name>
                        Adam's means of a parameter's gradient and of its square, and the number of
                        its steps; likewise
    random              torch's global random state

Data order needs no state (see `batches`).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from qdeploy.errors import CheckpointError
from qdeploy.recipe.optimizer import Optimizer
from qdeploy.training.sgd import Sgd

NETWORK = "network/"
# What torch's optimizers keep of a parameter -> prefix of its tensors.
KEPT = {
    "momentum_buffer": "momentum/",
    "exp_avg": "exp_avg/",
    "exp_avg_sq": "exp_avg_sq/",
    "step": "step/",
}
RANDOM = "random"


def make_optimizer(network: nn.Module, settings: Optimizer) -> torch.optim.Optimizer:
    """SGD with momentum, Adam or AdamW; decay acts on weights only, not on norms and scales."""
    decayed = weight_names(network)
    return optimizer_of(dict(network.named_parameters()), decayed, settings)


def weight_names(network: nn.Module) -> set[str]:
    """Names of the parameters that decay acts on."""
    return {
        name for name, p in network.named_parameters() if p.dim() > 1 and not _is_scale(p, network)
    }


def optimizer_of(
    parameters: Mapping[str, torch.Tensor], decayed: set[str], settings: Optimizer
) -> torch.optim.Optimizer:
    """The optimizer of named parameters, those of `weight_names` in its first group."""
    weights = [value for name, value in parameters.items() if name in decayed]
    rest = [value for name, value in parameters.items() if name not in decayed]
    groups: list[dict[str, Any]] = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    if settings.type == "sgd":
        return Sgd(
            groups,
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            fused=True,  # one pass over memory and one call, for all parameters
        )
    kind = torch.optim.Adam if settings.type == "adam" else torch.optim.AdamW
    betas = (settings.beta1, settings.beta2)
    return kind(groups, lr=settings.lr, betas=betas, eps=settings.epsilon, fused=True)


def collect(
    live: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
) -> dict[str, torch.Tensor]:
    """The state as tensors; a copy.

    Args:
        live: the network's `state_dict`.
        parameters: its parameters by name.
    """
    tensors = {NETWORK + name: value.clone() for name, value in live.items()}
    for name, parameter in parameters.items():
        state = optimizer.state.get(parameter, {})
        for key, prefix in KEPT.items():
            if state.get(key) is not None:
                tensors[prefix + name] = state[key].clone()
    tensors[RANDOM] = torch.get_rng_state()
    return tensors


@contextlib.contextmanager
def of_this_network() -> Iterator[None]:
    """Inside, tensors of a checkpoint are taken over.

    Raises:
        CheckpointError: they are not those of the network.
    """
    try:
        yield
    except (RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(
            "the tensors of a checkpoint are not those of the recipe's network",
            why=next(iter(str(error).splitlines()), type(error).__name__),
            do="use --force to start this run over",
        ) from error


def restore_network(network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Load the network's part of a state.

    Raises:
        CheckpointError: its tensors are not those of the network.
    """
    with of_this_network():
        network.load_state_dict(network_part(tensors))


def restore_training(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    """Load the optimizer's state and the random state, for resuming inside a phase.

    Raises:
        CheckpointError: they are not those of the network.
    """
    with of_this_network():
        _restore_training(network, optimizer, tensors)


def _restore_training(
    network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    adam = "betas" in optimizer.defaults
    keys = ("exp_avg", "exp_avg_sq", "step") if adam else ("momentum_buffer",)
    for name, parameter in network.named_parameters():
        if not any(KEPT[key] + name in tensors for key in keys):
            continue  # the parameter made no step
        for key in keys:
            # Adam counts steps on the CPU; the rest lies in memory as the parameter does.
            like = torch.empty(()) if key == "step" else torch.empty_like(parameter)
            optimizer.state[parameter][key] = like.copy_(tensors[KEPT[key] + name])
    torch.set_rng_state(tensors[RANDOM])


def all_finite(live: Mapping[str, torch.Tensor]) -> bool:
    """Whether every number of a network's state is finite."""
    values = [value for value in live.values() if value.is_floating_point() and value.numel()]
    if not values:
        return True
    # One number from the device answers it; the largest is not-a-number where there is one.
    return bool(torch.isfinite(torch.stack(torch._foreach_norm(values, math.inf)).amax()))


def network_part(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state of the network alone, as `nn.Module.state_dict` names it."""
    return {
        name.removeprefix(NETWORK): value
        for name, value in tensors.items()
        if name.startswith(NETWORK)
    }


def _is_scale(parameter: nn.Parameter, network: nn.Module) -> bool:
    # Scales per output channel have as many axes as the weight.
    return any(
        parameter is other
        for name, other in network.named_parameters()
        if name.endswith("scaling_impl.value")
    )

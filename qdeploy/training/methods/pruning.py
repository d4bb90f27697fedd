"""Channel pruning by trained gates.

The gate of a channel is the scale γ and the shift β of batch norm, of all norms on the channel
together (residual connections put several there). Its size is their root mean square

    r = ||(γ, β)|| / sqrt(n)                          of the n values of a channel

and a penalty λ·Σ sqrt(n)·||(γ, β)|| makes small gates vanish: network slimming (Liu et al. 2017)
with the group lasso (Yuan and Lin 2006) in the place of the L1 norm, so that all norms of a channel
close together, and with the shift, without which a closed channel would still be the constant
relu(β). It is applied as a proximal step after each update with the rate η,

    (γ, β) <- max(0, 1 - η·λ / r) · (γ, β)

which leaves gates at exactly 0, where they stay. λ is the recipe's penalty over the sum of all
rates of the phase: that is how far a gate shrinks that the loss does not hold open, whatever the
length and the rates of the phase. The penalty ends when as many gates are closed as are wanted; if
it does not come so far, the smallest of the others are closed at the end of the phase. Its result
is measured like that. The network then computes the same without these channels
(`networks.channels`), bit for bit where its sums are exact.

The gates are parameters that the network has anyway, so nothing is added to it, averages of weights
and checkpoints hold them, and which channels are closed can be read from a state.
"""

from __future__ import annotations

import heapq
from typing import Any

import torch
from torch import nn

from qdeploy.networks.channels import Channels
from qdeploy.recipe.pruning import Pruning
from qdeploy.training.methods.method import Method

TINY = 1e-30


class Gates:
    """The gates of a network's channels.

    Args:
        network: on any device; its norms stay the same modules.
        channels: of this network.
    """

    def __init__(self, network: nn.Module, channels: Channels) -> None:
        device = next(network.parameters()).device
        modules: dict[str, Any] = dict(network.named_modules())
        self._norms = [
            (modules[name], own.to(device), channels.removable[own].to(device))
            for name, own in channels.norms.items()
        ]
        counts = torch.zeros(channels.count)
        for own in channels.norms.values():
            counts[own] += 2
        self._counts = counts.clamp_min(1).to(device)

    @torch.no_grad()
    def sizes(self) -> torch.Tensor:
        """r of each channel, float32 (channels.count,); 0 where there is no norm."""
        squares = torch.zeros_like(self._counts)
        for norm, own, _ in self._norms:
            # A channel occurs once in a norm, so this adds each value once.
            squares[own] += norm.weight.square() + norm.bias.square()
        return (squares / self._counts).sqrt()

    @torch.no_grad()
    def scale(self, factors: torch.Tensor) -> None:
        """Multiply scales and shifts of channels that can be removed by `factors`,
        (channels.count,)."""
        for norm, own, removable in self._norms:
            factor = torch.where(removable, factors[own], 1.0)
            norm.weight.mul_(factor)
            norm.bias.mul_(factor)


class GateTraining(Method):
    """Trains the gates of a phase, and closes the smallest.

    Args:
        network: changed in place.
        channels: of this network.
        settings: of the recipe.
        rates: sum of the learning rates of all steps of the phase.
    """

    def __init__(
        self, network: nn.Module, channels: Channels, settings: Pruning, rates: float
    ) -> None:
        self._gates, self._channels, self._settings = Gates(network, channels), channels, settings
        self._factor, self._rate = settings.penalty / rates, 0.0
        device = self._gates.sizes().device
        self._able = channels.removable.to(device)
        self._wanted = settings.target * int(channels.removable.sum())
        self._open = torch.ones_like(self._able)
        self._penalized = self._able

    def begin_epoch(self, epoch: int) -> None:
        """The largest gates of each layer are left alone until the next epoch: they do not all
        close."""
        sizes = self._gates.sizes()
        kept = largest(sizes.cpu(), self._channels, self._settings)
        self._penalized = self._able & ~kept.to(sizes.device)
        self._open = sizes > 0

    def rate(self, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
        self._rate = rate
        return rate

    def after_update(self, step: int) -> None:
        """All on the device of the network: nothing waits for a number."""
        sizes = self._gates.sizes() * self._open
        shrunk = (1 - self._rate * self._factor / sizes.clamp_min(TINY)).clamp_min(0)
        goes_on = (self._able & ~self._open).sum() < self._wanted
        factors = torch.where(self._penalized & goes_on, shrunk, 1.0) * self._open
        self._gates.scale(factors)
        self._open = self._open & (factors > 0)

    def settle(self) -> None:
        sizes = self._gates.sizes()
        closed = chosen(sizes.cpu(), self._channels, self._settings, self._settings.target)
        self._gates.scale((~closed).to(sizes))


def least_channels(count: int, settings: Pruning) -> int:
    """How many of the `count` channels of a layer have to stay."""
    multiple = settings.multiple_of
    return min(count, -(-settings.min_channels // multiple) * multiple)


def largest(sizes: torch.Tensor, channels: Channels, settings: Pruning) -> torch.Tensor:
    """The largest gates, as many in each group of channels as have to stay; bool (count,)."""
    kept = torch.zeros(channels.count, dtype=torch.bool)
    for members, able in _groups(channels):
        others = members.numel() - able.numel()
        wanted = max(0, least_channels(members.numel(), settings) - others)
        # From the end of the order in which they are closed.
        kept[able[sizes[able].argsort(stable=True)[max(0, able.numel() - wanted) :]]] = True
    return kept


def chosen(
    sizes: torch.Tensor, channels: Channels, settings: Pruning, target: float
) -> torch.Tensor:
    """The channels to close: the smallest gates of all layers, and in any case those of size 0, as
    far as each layer keeps a multiple of channels, and enough of them.

    Args:
        sizes: of the gates, (count,).
        target: share of those that can be removed; fewer where layers have to keep more.

    Returns:
        bool (count,).
    """
    closed = torch.zeros(channels.count, dtype=torch.bool)
    wanted = target * int(channels.removable.sum())
    # Of each group the next channels to close together, by their mean size.
    heap: list[tuple[float, int, list[torch.Tensor]]] = []
    for number, (members, able) in enumerate(_groups(channels)):
        parts = _parts(able[sizes[able].argsort(stable=True)], members.numel(), settings)
        if parts:
            heapq.heappush(heap, (float(sizes[parts[0]].mean()), number, parts))
    done = 0
    while heap and (done < wanted or heap[0][0] == 0):
        _, number, parts = heapq.heappop(heap)
        closed[parts[0]] = True
        done += len(parts[0])
        if parts[1:]:
            heapq.heappush(heap, (float(sizes[parts[1]].mean()), number, parts[1:]))
    return closed


def _groups(channels: Channels) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The channels of each group, and those of them that can be removed."""
    found = []
    for number in channels.groups.unique():
        members = (channels.groups == number).nonzero().flatten()
        able = members[channels.removable[members]]
        if able.numel():
            found.append((members, able))
    return found


def _parts(ascending: torch.Tensor, count: int, settings: Pruning) -> list[torch.Tensor]:
    """Channels of a group of `count` that may be closed together, in their order: after each part a
    multiple stays."""
    multiple, least = settings.multiple_of, least_channels(count, settings)
    parts: list[torch.Tensor] = []
    kept, taken = count, 0
    while True:
        part = kept % multiple or multiple
        if kept - part < least or taken + part > len(ascending):
            return parts
        parts.append(ascending[taken : taken + part])
        kept, taken = kept - part, taken + part

"""Which channels of a network are one and the same, and which of them can be removed exactly.

Every channel of an image and of every output of a layer gets a number. Batch norm, ReLU, pooling
and depthwise convolutions keep it; `flatten` repeats it for each pixel; where two tensors are added
their channels become one, so residual connections tie channels of many layers together.

The scale γ and shift β of the norms on a channel are its gate: with all of them 0 it is closed.
What a layer then reads of the channel is 0 if the way from a norm to the layer keeps zero as zero:

    norm: γ·x̂ + β = 0        relu(0) = pool(0) = depthwise(0) = 0 + 0 = 0

A channel can be removed where that holds for every layer that reads it. Logits and images keep
theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from qdeploy.errors import RecipeError

# By the names of torch's functions and methods, as modules and networks call them.
SAME_CHANNELS = frozenset(
    {"relu", "dropout", "contiguous", "clone"}
    | {"_max_pool2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"}
)
ADDITIONS = frozenset({"add", "__add__", "__radd__", "add_", "__iadd__", "sub", "__sub__"})
PRODUCTS = frozenset({"mul", "__mul__", "__rmul__"})
# What becomes numbers, which a network may decide by.
VALUES = frozenset({"item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__"})
LAYERS = (torch.conv2d, F.conv2d, F.linear)
MISFITS = (RuntimeError, TypeError, ValueError, AttributeError, IndexError)


@dataclass(frozen=True)
class Channels:
    """The channels of a network.

    Args:
        count: number of different ones.
        layers: numbers of the inputs and the outputs of each convolution and fully connected layer,
            by name, int64.
        depthwise: the layers that compute each channel by itself.
        norms: numbers of the channels of each batch norm, by name, int64.
        removable: bool (count,): that they are exactly zero where their gate is closed.
        groups: int64 (count,): channels that are outputs of one layer have the same number.
    """

    count: int
    layers: dict[str, tuple[torch.Tensor, torch.Tensor]]
    depthwise: frozenset[str]
    norms: dict[str, torch.Tensor]
    removable: torch.Tensor
    groups: torch.Tensor


def channels_of(network: nn.Module, input_shape: tuple[int, int, int]) -> Channels:
    """Follow the channels of a float network through its layers.

    Args:
        network: on the CPU; left alone but for the mode that it is in.
        input_shape: (C, H, W) of an image.

    Raises:
        RecipeError: for a network that does something else with channels.
    """
    network.eval()
    walk = _Walk(network)
    image = torch.zeros(1, *input_shape)
    walk.begin(image)
    try:
        with torch.no_grad(), walk:
            logits = network(image)
    except MISFITS as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise _refusal("its layers cannot be followed", why) from error
    return walk.found(logits)


@dataclass
class _Tensor:
    """Channel numbers of a tensor, and where they are zero when their gates are closed."""

    numbers: torch.Tensor
    zero: torch.Tensor


class _Walk(TorchFunctionMode):
    """Sees each of torch's functions as a network computes, in their order."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._layers: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._depthwise: set[str] = set()
        self._norms: dict[str, torch.Tensor] = {}
        self._parent: list[int] = []
        self._fixed: set[int] = set()
        self._owners = {
            id(module.weight): (name, module)
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm)
        }
        # By identity; the tensors are kept, so that no other one gets it.
        self._seen: dict[int, tuple[torch.Tensor, _Tensor]] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Compute, and number the channels of what comes out."""
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        given = list(_tensors([*args, *kwargs.values()]))
        operands = [self._seen[id(one)][1] for one in given if id(one) in self._seen]
        if not operands:
            return made
        if not isinstance(made, torch.Tensor):
            parts = made if isinstance(made, list | tuple) else []
            if _name(func) in VALUES or any(True for _ in _tensors(list(parts))):
                raise _refusal(f"it computes `{_name(func)}` between its layers")
            return made
        found = self._computed(func, given, operands, made)
        if made.dim() < 2 or len(found.numbers) != made.shape[1]:
            raise _refusal(f"what `{_name(func)}` does with its channels is not known")
        self._seen[id(made)] = (made, found)
        return made

    def begin(self, image: torch.Tensor) -> None:
        """Number the channels of an image, which stay."""
        self._seen[id(image)] = (image, self._new(image.shape[1], fixed=True))

    def found(self, logits: torch.Tensor) -> Channels:
        """The result, with channels that are tied together as one."""
        if id(logits) not in self._seen:
            raise _refusal("its layers cannot be followed to the logits")
        self._fix(self._seen[id(logits)][1].numbers)
        roots = torch.tensor([self._root(one) for one in range(len(self._parent))])
        known, number = roots.unique(return_inverse=True)
        layers = {name: (number[a], number[b]) for name, (a, b) in self._layers.items()}
        norms = {name: number[own] for name, own in self._norms.items()}
        removable = torch.zeros(len(known), dtype=torch.bool)
        for own in norms.values():
            removable[own] = True
        removable[number[torch.tensor(sorted(self._fixed))]] = False
        groups = torch.arange(len(known))
        for _, outputs in layers.values():
            # All groups that meet in this layer become one.
            met = torch.isin(groups, groups[outputs])
            groups[met] = groups[outputs].min()
        return Channels(len(known), layers, frozenset(self._depthwise), norms, removable, groups)

    def _computed(
        self,
        func: Callable[..., Any],
        given: list[torch.Tensor],
        operands: list[_Tensor],
        made: torch.Tensor,
    ) -> _Tensor:
        """The channels of what `func` made of `given` tensors, of which `operands` are known."""
        x, name = operands[0], _name(func)
        owned = [self._owners[id(one)] for one in given if id(one) in self._owners]
        if func in LAYERS and owned and (name != "linear" or made.dim() == 2):
            return self._layer(*owned[0], x)
        if func is F.batch_norm:
            if not owned:
                raise _refusal("a batch norm has no scale that could be a gate")
            self._norms[owned[0][0]] = self._same(self._norms.get(owned[0][0]), x.numbers)
            return _Tensor(x.numbers, torch.ones_like(x.zero))
        if len(operands) < len(given):
            raise _refusal(f"it computes `{name}` with numbers of its own")
        if name in SAME_CHANNELS or (name in PRODUCTS and len(operands) == 1):
            return x
        if name in ADDITIONS and len(operands) == 2:
            numbers = self._same(x.numbers, operands[1].numbers)
            return _Tensor(numbers, x.zero & operands[1].zero)
        if name == "expand_as":  # it takes as many channels as it gives
            return _Tensor(self._same(x.numbers, operands[-1].numbers), x.zero)
        if name in ("cat", "concat") and made.dim() == given[0].dim() and _joined(given, made):
            numbers = torch.cat([one.numbers for one in operands])
            return _Tensor(numbers, torch.cat([one.zero for one in operands]))
        if name == "flatten" and made.dim() == 2:
            # Channel-major: all pixels of the first channel, then those of the second.
            pixels = made.shape[1] // len(x.numbers)
            return _Tensor(x.numbers.repeat_interleave(pixels), x.zero.repeat_interleave(pixels))
        raise _refusal(f"it computes `{name}` between its layers")

    def _layer(self, name: str, layer: Any, x: _Tensor) -> _Tensor:
        groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
        before = self._layers.get(name)
        if groups > 1 and groups == layer.in_channels == layer.out_channels:
            self._depthwise.add(name)
            numbers = self._same(before and before[0], x.numbers)
            self._layers[name] = (numbers, numbers)
            return _Tensor(numbers, x.zero & (layer.bias is None))
        # What is not zero, and what a grouped layer mixes, stays.
        self._fix(x.numbers if groups > 1 else x.numbers[~x.zero])
        made = self._new(layer.weight.shape[0], fixed=groups > 1)
        if before is not None:
            made = _Tensor(before[1], made.zero)
        self._layers[name] = (self._same(before and before[0], x.numbers), made.numbers)
        return made

    def _new(self, count: int, *, fixed: bool = False) -> _Tensor:
        first = len(self._parent)
        self._parent += range(first, first + count)
        numbers = torch.arange(first, first + count)
        if fixed:
            self._fix(numbers)
        return _Tensor(numbers, torch.zeros(count, dtype=torch.bool))

    def _same(self, known: torch.Tensor | None, numbers: torch.Tensor) -> torch.Tensor:
        """Tie channels together, one by one."""
        if known is None:
            return numbers
        if len(known) != len(numbers):
            raise _refusal(f"it adds {len(numbers)} channels to {len(known)}")
        for one, other in zip(known.tolist(), numbers.tolist(), strict=True):
            self._parent[self._root(one)] = self._root(other)
        return known

    def _fix(self, numbers: torch.Tensor) -> None:
        self._fixed.update(numbers.tolist())

    def _root(self, one: int) -> int:
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one


def _tensors(values: list[Any]) -> Iterator[torch.Tensor]:
    """The tensors among arguments, also those in lists."""
    for one in values:
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(list(one))


def _joined(given: list[torch.Tensor], made: torch.Tensor) -> bool:
    """Whether tensors were joined along their channels."""
    return made.shape[1] == sum(one.shape[1] for one in given)


def _name(func: Callable[..., Any]) -> str:
    return str(getattr(func, "__name__", func))


def _refusal(what: str, why: str | None = None) -> RecipeError:
    return RecipeError(
        f"the network cannot be pruned: {what}",
        where="phases.pruning",
        why=why or "channels are removed only where it is known that nothing changes",
        do="remove `pruning`, or use one of the built-in networks",
    )

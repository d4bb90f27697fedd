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

import operator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm

from qdeploy.errors import RecipeError

SAME_CHANNELS = (
    nn.Identity,
    nn.ReLU,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Dropout,
    nn.Dropout2d,
)
SAME_CHANNELS_CALLS = frozenset(
    {torch.relu, F.relu, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.dropout}
    | {"relu", "contiguous", "clone"}
)
ADDITIONS = frozenset({operator.add, operator.sub, torch.add, torch.sub, "add", "sub"})
PRODUCTS = frozenset({operator.mul, torch.mul, "mul"})


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
    try:
        traced = fx.symbolic_trace(network)
        ShapeProp(traced).propagate(torch.zeros(1, *input_shape))
    except (fx.proxy.TraceError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise _refusal("its layers cannot be followed", str(error).splitlines()[0]) from error
    walk = _Walk(network)
    for node in traced.graph.nodes:
        walk.visit(node)
    return walk.found()


@dataclass
class _Tensor:
    """Channel numbers of a tensor, and where they are zero when their gates are closed."""

    numbers: torch.Tensor
    zero: torch.Tensor


class _Walk:
    """Goes through the nodes of a traced network in their order."""

    def __init__(self, network: nn.Module) -> None:
        self._modules = dict(network.named_modules())
        self._seen: dict[fx.Node, _Tensor] = {}
        self._parent: list[int] = []
        self._fixed: set[int] = set()
        self._layers: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self._depthwise: set[str] = set()
        self._norms: dict[str, torch.Tensor] = {}

    def visit(self, node: fx.Node) -> None:
        """Number the channels of what `node` computes."""
        if node.op == "placeholder":
            self._seen[node] = self._new(_shape(node)[1], fixed=True)
        elif node.op == "output":
            self._fix(self._input(node).numbers)
        elif node.op == "call_module":
            self._keep(node, self._module(node, str(node.target)))
        elif node.op in ("call_function", "call_method"):
            self._keep(node, self._call(node))
        else:
            raise _refusal(f"it reads `{node.target}` outside of a layer")

    def found(self) -> Channels:
        """The result, with channels that are tied together as one."""
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

    def _keep(self, node: fx.Node, x: _Tensor) -> None:
        if len(x.numbers) != _shape(node)[1]:
            raise _refusal(f"what `{node.target}` does with channels is not known")
        self._seen[node] = x

    def _module(self, node: fx.Node, name: str) -> _Tensor:
        module, x = self._modules[name], self._input(node)
        by_pixel = isinstance(module, nn.Linear) and len(_shape(node)) != 2
        if isinstance(module, nn.Conv2d | nn.Linear) and not by_pixel:
            return self._layer(name, module, x)
        if isinstance(module, _BatchNorm):
            if not module.affine:
                raise _refusal(f"the batch norm `{name}` has no scale that could be a gate")
            self._norms[name] = self._same(self._norms.get(name), x.numbers)
            return _Tensor(x.numbers, torch.ones_like(x.zero))
        if isinstance(module, SAME_CHANNELS):
            return x
        if isinstance(module, nn.Flatten) and module.start_dim == 1:
            return self._flat(node, x)
        raise _refusal(f"its layer `{name}` is a {type(module).__name__}")

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

    def _call(self, node: fx.Node) -> _Tensor:
        target: Any = node.target
        operands = [self._seen[one] for one in node.all_input_nodes]
        if target in SAME_CHANNELS_CALLS:
            return operands[0]
        if target in ADDITIONS and len(operands) == 2:
            first, second = operands
            return _Tensor(self._same(first.numbers, second.numbers), first.zero & second.zero)
        if target == "expand_as":
            # It takes as many channels as it gives.
            numbers = self._same(operands[0].numbers, operands[-1].numbers)
            return _Tensor(numbers, operands[0].zero)
        if target in PRODUCTS and len(operands) == 1:
            return operands[0]
        if target in (torch.cat, torch.concat) and _axis(node) == 1:
            joined = [self._seen[one] for one in node.args[0]]  # type: ignore[union-attr,index]
            return _Tensor(
                torch.cat([one.numbers for one in joined]), torch.cat([one.zero for one in joined])
            )
        if target in (torch.flatten, "flatten") and node.args[1:] == (1,):
            return self._flat(node, operands[0])
        raise _refusal(f"it computes `{getattr(target, '__name__', target)}` between its layers")

    def _flat(self, node: fx.Node, x: _Tensor) -> _Tensor:
        # Channel-major: all pixels of the first channel, then those of the second.
        pixels = _shape(node)[1] // len(x.numbers)
        return _Tensor(x.numbers.repeat_interleave(pixels), x.zero.repeat_interleave(pixels))

    def _input(self, node: fx.Node) -> _Tensor:
        return self._seen[node.all_input_nodes[0]]

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


def _shape(node: fx.Node) -> torch.Size:
    shape: torch.Size = node.meta["tensor_meta"].shape
    return shape


def _axis(node: fx.Node) -> object:
    return node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)


def _refusal(what: str, why: str | None = None) -> RecipeError:
    return RecipeError(
        f"the network cannot be pruned: {what}",
        where="phases.pruning",
        why=why or "channels are removed only where it is known that nothing changes",
        do="remove `pruning`, or use one of the built-in networks",
    )

"""Fully connected networks of equal shape, computed side by side.

Every parameter and buffer of S networks is one tensor with a first axis of S. Activations are
(S, N, units), products of all networks one batched product. Weights are quantized by the same
kernels as in one network, one step for each, so equal inputs give equal codes; sums inside products
and batch norms may round in another order.

    h = act(norm(x · Q(W)ᵀ)),     with residual connections  h' = Q(0.5 · (h + Q(relu(norm(…)))))

as in `networks.fcdnn`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qdeploy.errors import InternalError
from qdeploy.networks.fcdnn import Fcdnn
from qdeploy.quant.direct import DirectConstant, DirectQuantizer, direct_quantizer
from qdeploy.quant.fused import Quantize, quantized
from qdeploy.quant.native import Rule
from qdeploy.quant.native_norm import Normalize, affine
from qdeploy.quant.quantizers import SMALLEST_THRESHOLD, is_quantized


@dataclass(frozen=True)
class Quantizer:
    """One that all networks have, each with its own step.

    Args:
        value: (S, …), one number for each network: the threshold.
        levels, lo, hi, rule: as in `DirectQuantizer`.
    """

    value: torch.Tensor
    levels: int
    lo: int
    hi: int
    rule: Rule

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """x, (S, …, …), quantized."""
        value = self.value.reshape(len(self.value), 1, 1)
        made: torch.Tensor = Quantize.apply(
            x.contiguous(), value, SMALLEST_THRESHOLD, self.levels, self.lo, self.hi, self.rule
        )
        return made


@dataclass(frozen=True)
class Norm:
    """A batch norm of all networks, with the ReLU behind it where that is not a quantizer's."""

    gain: torch.Tensor
    offset: torch.Tensor
    mean: torch.Tensor
    var: torch.Tensor
    batches: torch.Tensor
    eps: float
    momentum: float
    relu: bool

    def train(self, x: torch.Tensor) -> torch.Tensor:
        """By the statistics of x, (S, N, units), which the running ones follow."""
        y, mean, var = Normalize.apply(x, self.gain, self.offset, self.eps, self.relu)
        with torch.no_grad():
            count = x.shape[1]
            self.mean.lerp_(mean, self.momentum)
            self.var.lerp_(var * (count / max(1, count - 1)), self.momentum)
            self.batches.add_(1)
        made: torch.Tensor = y
        return made

    def test(self, x: torch.Tensor) -> torch.Tensor:
        """By the running statistics."""
        scale = self.gain / torch.sqrt(self.var + self.eps)
        return affine(x, scale, self.offset - self.mean * scale, relu=self.relu)


@dataclass(frozen=True)
class Layer:
    """Fully connected layer of all networks; the last one has neither norm nor activation."""

    weight: torch.Tensor
    quantizer: Quantizer | None
    norm: Norm | None = None
    act: Quantizer | None = None

    def weights(self) -> torch.Tensor:
        """As products take them."""
        return self.weight if self.quantizer is None else self.quantizer(self.weight)


class Stacked:
    """S networks side by side.

    Args:
        members: of one shape; their state is copied, and written back by `give`.

    Raises:
        InternalError: they are not of a kind that this computes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        first = members[0]
        if not isinstance(first, Fcdnn):
            raise InternalError(f"a {type(first).__name__} is not trained in a group")
        self.members = list(members)
        self._live = [{k: v.detach() for k, v in one.state_dict().items()} for one in members]
        self.state = {
            name: torch.stack([one[name] for one in self._live]) for name in self._live[0]
        }
        own = dict(first.named_parameters())
        self.parameters: dict[str, torch.Tensor] = {}
        for name, parameter in own.items():
            self.parameters[name] = self.state[name].requires_grad_(parameter.requires_grad)
        self._names = {id(value): name for name, value in own.items()}
        self._input: DirectConstant | None = None
        if hasattr(first.input_quant, "act_quant"):
            found = direct_quantizer(first.input_quant.act_quant, after_relu=False)
            if not isinstance(found, DirectConstant):
                raise InternalError("the network's input has no constant scale")
            self._input = found
        self.join = None if first.join is None else self._activation(first.join)
        self.residual = first.join is not None
        names = [name for name, _ in first.named_children() if name.startswith("hidden")]
        self.layers = [self._hidden(name, getattr(first, name)) for name in names]
        self.layers.append(Layer(self._of(first.head.weight), self._weights(first.head)))

    def __len__(self) -> int:
        return len(self.members)

    def train(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (S, N, classes) of inputs (S, N, inputs), with gradients."""
        weights = [layer.weights() for layer in self.layers]
        return self._forward(x, weights, training=True)

    @torch.no_grad()
    def weights(self) -> list[torch.Tensor]:
        """Of all layers, for `test`: they are quantized once."""
        return [layer.weights() for layer in self.layers]

    @torch.no_grad()
    def test(self, x: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (S, N, classes) of one batch of inputs (N, inputs), as deployed."""
        return self._forward(x.expand(len(self), *x.shape), weights, training=False)

    def give(self) -> None:
        """Write the state back into the members."""
        with torch.no_grad():
            for index, live in enumerate(self._live):
                for name, value in live.items():
                    value.copy_(self.state[name][index])

    def take(self) -> None:
        """Take the state of the members, which something else has changed."""
        with torch.no_grad():
            for index, live in enumerate(self._live):
                for name, value in live.items():
                    self.state[name][index].copy_(value)

    def finite(self) -> bool:
        """Whether every number of every network is finite."""
        return all(bool(torch.isfinite(value).all()) for value in self.state.values())

    def _forward(
        self, x: torch.Tensor, weights: Sequence[torch.Tensor], *, training: bool
    ) -> torch.Tensor:
        if self._input is not None:
            given = self._input
            x = quantized(x.contiguous(), given.scale, given.lo, given.hi)
        for index, (layer, weight) in enumerate(zip(self.layers, weights, strict=True)):
            y = torch.bmm(x, weight.mT)
            if layer.norm is None:
                return y
            y = layer.norm.train(y) if training else layer.norm.test(y)
            if layer.act is not None:
                y = layer.act(y)
            if self.residual:
                y = y if self.join is None else self.join(y)
                if index:
                    y = 0.5 * (x + y)
                    y = y if self.join is None else self.join(y)
            x = y
        raise InternalError("the last layer has a norm")

    def _of(self, tensor: torch.Tensor) -> torch.Tensor:
        return self.parameters[self._names[id(tensor)]]

    def _hidden(self, name: str, hidden: Any) -> Layer:
        norm, act = hidden.norm, hidden.act
        buffers = (f"{name}.norm.{one}" for one in ("running_mean", "running_var"))
        mean, var = (self.state[one] for one in buffers)
        relu = isinstance(act, nn.ReLU)
        return Layer(
            self._of(hidden.fc.weight),
            self._weights(hidden.fc),
            Norm(
                self._of(norm.weight),
                self._of(norm.bias),
                mean,
                var,
                self.state[f"{name}.norm.num_batches_tracked"],
                norm.eps,
                norm.momentum,
                relu,
            ),
            None if relu else self._quantizer(act.act_quant, after_relu=True),
        )

    def _activation(self, module: Any) -> Quantizer | None:
        if isinstance(module, nn.Identity):
            return None
        return self._quantizer(module.act_quant, after_relu=False)

    def _weights(self, layer: Any) -> Quantizer | None:
        return (
            self._quantizer(layer.weight_quant, after_relu=False) if is_quantized(layer) else None
        )

    def _quantizer(self, proxy: Any, *, after_relu: bool) -> Quantizer:
        found = direct_quantizer(proxy, after_relu=after_relu)
        if not isinstance(found, DirectQuantizer) or not found.plain:
            raise InternalError("a quantizer that is not of a kind for groups")
        if found.rule not in (Rule.PACT, Rule.THROUGH):
            raise InternalError("a quantizer's gradient is not of a kind for groups")
        scaling: Any = found.scaling
        return Quantizer(self._of(scaling.value), found.levels, found.lo, found.hi, found.rule)

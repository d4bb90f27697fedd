"""A training step's two passes through a fully connected network, as one node of autograd's graph.

With layers this small, modules and nodes of a graph cost several times what the arithmetic does.
Here products are torch's own, everything between two of them is one call of a kernel
(`quant.native_stage`), and what a pass needs lies in memory that the next one uses again. Values
and gradients are the bits that the layers' modules compute; wherever that is not sure, as with
several threads, hooks, mixed precision or in evaluation, the modules compute them.
"""

from __future__ import annotations

from typing import Any, Self

import brevitas.nn as qnn
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from qdeploy.networks.fcdnn import Fcdnn
from qdeploy.quant import native
from qdeploy.quant.direct import DirectConstant, DirectOwn, DirectQuantizer, direct_quantizer
from qdeploy.quant.native import Rule
from qdeploy.quant.native_stage import same_norms
from qdeploy.quant.quantizers import is_quantized
from qdeploy.quant.signed_input import SignedInput
from qdeploy.quant.thresholds import ThresholdQuant
from qdeploy.training.chain_memory import Layer, Pass, value_of


class Chain:
    """Makes a network compute its training steps in this way, as a context or until `leave`; a
    network of which that is not sure stays as it is.

    Args:
        network: its parameters and buffers stay the same tensors.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._input: DirectConstant | None = None
        self._layers = self._found()
        self._modules = list(network.modules())
        self._norms = [layer.norm for layer in self._layers if layer.norm is not None]
        self._parameters = [one for layer in self._layers for one in layer.parameters()]
        self._free: dict[int, list[Pass]] = {}

    def __enter__(self) -> Self:
        if self._layers:
            self._network.forward = self._forward
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """No longer; nothing happens where it is not so."""
        vars(self._network).pop("forward", None)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self._sure(x):
            made: torch.Tensor = type(self._network).forward(self._network, x)
            return made
        network: Any = self._network
        if isinstance(network.input_quant, SignedInput) and network.input_quant.middle:
            x = x - network.input_quant.middle
        logits: torch.Tensor = _Run.apply(self, x.flatten(1).contiguous(), *self._parameters)
        return logits

    def _sure(self, x: torch.Tensor) -> bool:
        """Whether the modules would compute the same bits from these inputs."""
        if not (self._network.training and torch.is_grad_enabled()) or x.requires_grad:
            return False
        if x.dtype != torch.float32 or x.device.type != "cpu" or len(x) < 2:
            return False
        if torch.get_num_threads() != 1 or torch.is_autocast_enabled("cpu"):
            return False
        if not all(norm.training for norm in self._norms):
            return False
        return not any(one._forward_hooks or one._forward_pre_hooks for one in self._modules)

    def begin(self, rows: int) -> Pass:
        """Memory for a pass of so many images."""
        free = self._free.setdefault(rows, [])
        places = tuple(one.data_ptr() * one.requires_grad for one in self._parameters)
        while free:
            found = free.pop()
            if found.places == places:
                return found
        return Pass(self._input, self._layers, rows, places)

    def end(self, made: Pass) -> None:
        """It is not needed any more."""
        self._free[made.rows].append(made)

    def _found(self) -> list[Layer]:
        """The network's layers; none where this does not compute the network."""
        network: Any = self._network
        plain = type(network) is Fcdnn and network.join is None
        if not plain or "forward" in vars(network) or native.missing() is not None:
            return []
        if torch.get_num_threads() != 1 or not same_norms():
            return []
        given = network.input_quant
        given = given.quantizer if isinstance(given, SignedInput) else given
        if not isinstance(given, nn.Identity):
            constant = direct_quantizer(given.act_quant, after_relu=False)
            if not isinstance(constant, DirectConstant):
                return []
            self._input = constant
        names = [name for name, _ in network.named_children() if name.startswith("hidden")]
        hidden = [getattr(network, name) for name in names]
        layers = [_hidden(one.fc, one.norm, one.act) for one in hidden]
        layers.append(_hidden(network.head, None, None))
        return [one for one in layers if one is not None] if None not in layers else []


class _Run(torch.autograd.Function):
    """Logits of (N, inputs); arguments of `apply`: the chain, inputs, and all parameters."""

    @staticmethod
    def forward(ctx: Any, chain: Chain, x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        ctx.chain, ctx.made = chain, chain.begin(len(x))
        made: torch.Tensor = ctx.made.forward(x)
        return made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        found = ctx.made.gradients(grads[0].contiguous(), ctx.needs_input_grad[2:])
        ctx.chain.end(ctx.made)
        ctx.made = None
        return None, None, *found


def _hidden(fc: Any, norm: Any, act: Any) -> Layer | None:
    """A layer of modules; None where this does not compute them."""
    quantizer = None
    if is_quantized(fc):
        found = direct_quantizer(fc.weight_quant, after_relu=False)
        if not isinstance(found, DirectQuantizer) or found.rule != Rule.THROUGH:
            return None
        quantizer = found
    values = [] if quantizer is None else [quantizer]
    if fc.bias is not None or not _plain(fc.weight, *values):
        return None
    if any(value_of(one).numel() not in (1, len(fc.weight)) for one in values):
        return None
    if norm is None:
        return Layer(fc.weight, quantizer)
    if type(norm) is not nn.BatchNorm1d or norm.momentum is None or norm.running_mean is None:
        return None
    if type(act) is nn.ReLU:
        return Layer(fc.weight, quantizer, norm)
    made = direct_quantizer(act.act_quant, after_relu=isinstance(act, qnn.QuantReLU))
    steps = isinstance(made, DirectQuantizer) and made.rule != Rule.THROUGH
    own = isinstance(made, DirectOwn) and isinstance(made.rounding, ThresholdQuant)
    if not (steps or own):
        return None
    assert isinstance(made, DirectQuantizer | DirectOwn)
    if value_of(made).numel() != 1 or not _plain(fc.weight, made):
        return None
    return Layer(fc.weight, quantizer, norm, made)


def _plain(weight: torch.Tensor, *quantizers: DirectQuantizer | DirectOwn) -> bool:
    """Whether kernels take these."""
    if not all(one.plain for one in quantizers):
        return False
    tensors = [weight, *(value_of(one) for one in quantizers)]
    return all(
        one.dtype == torch.float32 and one.device.type == "cpu" and one.is_contiguous()
        for one in tensors
    )

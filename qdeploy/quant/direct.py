"""Quantized layers that compute their values directly, without the modules of Brevitas.

Brevitas finds scale, zero point and bit width of every tensor in a tree of modules, in Python and
again in every step. With `Direct`, the layers whose quantizers are ours (`quantizers`) compute
the same bits from their parameters alone; all others stay as they are. What is saved, loaded and
exported are Brevitas' modules, which no one touches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import brevitas.nn as qnn
import torch
from brevitas.core.quant import RescalingIntQuant
from brevitas.core.quant.int_base import IntQuant
from brevitas.core.restrict_val import FloatRestrictValue
from brevitas.core.scaling import ConstScaling, ParameterScaling
from torch import nn

from qdeploy.quant.fused import FusedIntQuant, Quantize, quantized
from qdeploy.quant.native import Rule, Scale
from qdeploy.quant.quantizers import SMALLEST_THRESHOLD, code_range
from qdeploy.quant.thresholds import ThresholdQuant
from qdeploy.quant.weight_levels import LevelQuant

Forward = Callable[[torch.Tensor], torch.Tensor]


class Direct:
    """Makes the quantized layers of a network compute directly, as a context or until `leave`.

    The values and gradients are the same bits. Bit widths may not be changed meanwhile.

    Args:
        network: changed only between `enter` and `leave`, and then only in how it computes.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._changed: list[nn.Module] = []

    def enter(self) -> None:
        """From now on."""
        for module in self._network.modules():
            forward = None if "forward" in vars(module) else _direct_forward(module)
            if forward is not None:
                module.forward = forward
                self._changed.append(module)

    def leave(self) -> None:
        """No longer; nothing happens where it is not so."""
        while self._changed:
            del self._changed.pop().forward

    def __enter__(self) -> Direct:
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


@dataclass(frozen=True)
class DirectQuantizer:
    """A quantizer, as far as a step needs it.

    Args:
        scaling: holds the threshold, or computes it.
        plain: whether the threshold is the parameter's absolute value.
        levels: the threshold in steps.
        rule: of the gradient.
    """

    scaling: nn.Module
    plain: bool
    levels: int
    lo: int
    hi: int
    rule: Rule

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        value, smallest, levels = _step(self, x)
        made: torch.Tensor = Quantize.apply(x, value, smallest, levels, self.lo, self.hi, self.rule)
        return made


@dataclass(frozen=True)
class DirectConstant:
    """A quantizer whose step never changes, such as that of the network's input, which needs no
    gradient either."""

    scale: Scale
    lo: int
    hi: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            made: torch.Tensor = Quantize.apply(x, *self.scale, self.lo, self.hi, Rule.CLIP)
            return made
        return quantized(x, self.scale, self.lo, self.hi)


@dataclass(frozen=True)
class DirectOwn:
    """The same of learned thresholds, or of levels that are not uniform."""

    rounding: ThresholdQuant | LevelQuant
    scaling: nn.Module
    plain: bool
    levels: int

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.rounding.with_step(x, *_step(self, x))


def _step(quantizer: DirectQuantizer | DirectOwn, x: torch.Tensor) -> tuple[Any, float, int]:
    """Of a quantizer: steps of max(|value|, smallest) / levels."""
    if quantizer.plain:
        return quantizer.scaling.value, SMALLEST_THRESHOLD, quantizer.levels
    return quantizer.scaling(x, torch.tensor(float(quantizer.levels))), 0.0, 1


def _direct_forward(module: nn.Module) -> Forward | None:
    """What computes the layer directly; None where Brevitas' own code has to."""
    if isinstance(module, qnn.QuantConv2d | qnn.QuantLinear):
        return _weighted(module)
    if isinstance(module, qnn.QuantReLU | qnn.QuantIdentity):
        return _activation(module)
    return None


def _weighted(layer: Any) -> Forward | None:
    others = (layer.input_quant, layer.output_quant, layer.bias_quant)
    plain = not layer.return_quant_tensor and not any(other.is_quant_enabled for other in others)
    found = direct_quantizer(layer.weight_quant, after_relu=False) if plain else None
    if found is None:
        return None
    quantizer = found

    def forward(x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = layer.inner_forward_impl(x, quantizer(layer.weight), layer.bias)
        return made

    return forward


def _activation(layer: Any) -> Forward | None:
    if layer.return_quant_tensor or layer.input_quant.is_quant_enabled:
        return None
    return direct_quantizer(layer.act_quant, after_relu=isinstance(layer, qnn.QuantReLU))


def direct_quantizer(proxy: Any, *, after_relu: bool) -> Forward | None:
    """What a quantizer computes, from its parameters alone; None where Brevitas' own code has to.

    Args:
        proxy: `weight_quant` or `act_quant` of a layer.
        after_relu: there is a ReLU in front, which the result takes the place of.
    """
    if not proxy.is_quant_enabled:
        return None
    inner = getattr(proxy, "fused_activation_quant_proxy", proxy)
    quantizer = inner.tensor_quant
    if type(quantizer) is not RescalingIntQuant:
        return None
    rounding, scaling = quantizer.int_quant, quantizer.scaling_impl
    lo, hi = code_range(proxy)
    levels = float(quantizer.int_scaling_impl(quantizer.msb_clamp_bit_width_impl()))
    plain = isinstance(scaling, ParameterScaling) and isinstance(
        scaling.restrict_clamp_scaling.restrict_value_impl, FloatRestrictValue
    )
    if isinstance(rounding, ThresholdQuant | LevelQuant) and isinstance(scaling, ParameterScaling):
        return None if after_relu else DirectOwn(rounding, scaling, plain, int(levels))
    if type(rounding) is IntQuant and isinstance(scaling, ConstScaling):
        if after_relu:
            return None
        step = scaling(torch.zeros(1), torch.tensor(levels)).detach()
        return DirectConstant(Scale(step, 0.0, 1), lo, hi)
    if isinstance(rounding, FusedIntQuant) and isinstance(scaling, ParameterScaling):
        rule = rounding.rule(after_relu=after_relu)
    else:
        return None
    if after_relu and lo != 0:
        return None
    return DirectQuantizer(scaling, plain, int(levels), lo, hi, rule)

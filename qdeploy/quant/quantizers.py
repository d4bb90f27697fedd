"""Brevitas quantizers with explicit scales.

Every scale is a plain parameter whose initial value is set explicitly (`set_step`), not from
statistics of the first batches: a network loads from its state alone, and the initial value is the
one that `step_size` computed from the float network.

    weights      signed, narrow range: codes -(2**(b-1) - 1) .. 2**(b-1) - 1
                 or all levels:        codes -2**(b-1) .. 2**(b-1) - 1
                 or powers of two, or sums of them, on a wider grid (`weight_levels`)
                 1 bit:                codes -1 and +1
    activations  unsigned: codes 0 .. 2**b - 1, learned clipping value (the parameter, as in PACT)
                 or learned thresholds (`thresholds`)
                 signed, narrow range: residual streams and linear bottlenecks
    input        constant scale 2**-b, unsigned or signed with all codes, or that of a given range

Brevitas stores a threshold: Δ = threshold / n, where n is the number of codes above 0 for float
scales (2**(b-1) with all levels), and the next power of two for power-of-two scales, where the
parameter is log2(threshold). Binary weights have n = 1.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from brevitas.core.function_wrapper import RoundSte
from brevitas.core.quant import BinaryQuant
from brevitas.core.restrict_val import PowerOfTwoRestrictValue
from brevitas.core.scaling import ParameterScaling
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import (
    QuantType,
    RestrictValueType,
    ScalingImplType,
    ScalingPerOutputType,
)
from brevitas.quant.base import NarrowIntQuant, UintQuant
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from torch import nn

from qdeploy.errors import InternalError
from qdeploy.quant.fused import FusedClippedQuant, FusedIntQuant, FusedPactQuant
from qdeploy.quant.thresholds import ThresholdQuant
from qdeploy.quant.weight_levels import LevelQuant, grid_bits
from qdeploy.recipe.quantization_rules import LEVEL_BITS

SMALLEST_THRESHOLD = 1e-8


class LearnedScale(ExtendedInjector):
    """One scale per tensor, a parameter whose initial value is set later."""

    scaling_impl_type = ScalingImplType.PARAMETER
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    scaling_min_val = SMALLEST_THRESHOLD
    scaling_init = 1.0


class EntropyScaling(ParameterScaling):
    """A scale that is not trained, but set from the weights after each update (`entropy`)."""


class LearnedWeight(LearnedScale, NarrowIntQuant, WeightQuantSolver):
    """Signed narrow-range weights with a learned scale."""

    int_quant = FusedIntQuant
    bit_width = 8


class LearnedBinaryWeight(LearnedScale, WeightQuantSolver):
    """Weights ±Δ with a learned scale; zero counts as positive. Straight-through gradient."""

    quant_type = QuantType.BINARY
    signed = True
    bit_width = 1


class LearnedActivation(LearnedScale, UintQuant, ActQuantSolver):
    """Unsigned activations with a learned clipping value."""

    int_quant = FusedIntQuant
    bit_width = 8


class LearnedSignedActivation(LearnedScale, NarrowIntQuant, ActQuantSolver):
    """Signed narrow-range activations with a learned clipping value."""

    int_quant = FusedClippedQuant
    bit_width = 8


class ConstantInput(UintQuant, ActQuantSolver):
    """Unsigned input codes with a constant scale."""

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    scaling_init = 1.0
    bit_width = 8


class ConstantSignedInput(NarrowIntQuant, ActQuantSolver):
    """Signed input codes with a constant scale, of narrow range unless given otherwise."""

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    scaling_per_output_type = ScalingPerOutputType.TENSOR
    scaling_init = 1.0
    bit_width = 8


def weight_quantizer(
    bits: int,
    *,
    power_of_two: bool,
    per_channel: bool,
    levels: Literal["symmetric", "all", "power_of_two", "apot"] = "symmetric",
    entropy: bool = False,
) -> type:
    """Quantizer class for `weight_quant=`.

    Args:
        bits: 1..8.
        levels: as in the recipe; `all` also uses -2**(bits - 1).
        entropy: the scale follows the weights.
    """
    settings = {
        "scaling_per_output_type": (
            ScalingPerOutputType.CHANNEL if per_channel else ScalingPerOutputType.TENSOR
        ),
        **_restriction(power_of_two),
        **({"scaling_impl": EntropyScaling} if entropy else {}),
    }
    if bits == 1:
        return LearnedBinaryWeight.let(**settings)
    if levels in LEVEL_BITS and bits in LEVEL_BITS[levels]:
        return LearnedWeight.let(
            int_quant=LevelQuant,
            level_kind=levels,
            level_bits=bits,
            bit_width=grid_bits(levels, bits),
            **settings,
        )
    return LearnedWeight.let(bit_width=bits, narrow_range=levels != "all", **settings)


def activation_quantizer(bits: int, *, power_of_two: bool, pact: bool = False) -> type:
    """Quantizer class for `act_quant=`; `bits` 1..8, `pact`: with PACT's gradient for clipping."""
    return LearnedActivation.let(
        bit_width=bits, **_proxy(bits), **_restriction(power_of_two), **_clip(pact)
    )


def threshold_quantizer(bits: int, *, power_of_two: bool) -> type:
    """Quantizer class for `act_quant=` with learned thresholds; `bits` 1..4.

    The thresholds of a layer of values of any sign take the place of its ReLU.
    """
    from qdeploy.quant.threshold_export import ThresholdActProxy  # loads Brevitas' exporter

    return LearnedActivation.let(
        bit_width=bits,
        int_quant=ThresholdQuant,
        proxy_class=ThresholdActProxy,
        **_restriction(power_of_two),
    )


def signed_activation_quantizer(bits: int, *, power_of_two: bool, pact: bool = False) -> type:
    """Quantizer class for `act_quant=` of values of either sign; `bits` 2..8."""
    return LearnedSignedActivation.let(bit_width=bits, **_restriction(power_of_two), **_clip(pact))


def input_quantizer(bits: int, *, signed: bool = False) -> type:
    """Quantizer class for the network's input, scale 2**-bits; `bits` 1..8.

    Args:
        signed: codes -2**(bits - 1) .. 2**(bits - 1) - 1; `bits` 2..8.
    """
    if signed:  # n is 2**(bits - 1) where all codes are used
        return ConstantSignedInput.let(bit_width=bits, narrow_range=False, scaling_init=0.5)
    # Δ = threshold / (2**b - 1): with this threshold the division is exact.
    return ConstantInput.let(bit_width=bits, scaling_init=(2**bits - 1) / 2**bits, **_proxy(bits))


def range_quantizer(bits: int, low: float, high: float) -> type:
    """Quantizer class for an input with values from `low` to `high`, with a constant scale.

    Unsigned, scale high / (2**bits - 1), where `low` is 0; else signed and symmetric, with the
    larger of the two magnitudes at the highest code.

    Args:
        bits: 1..8; 2..8 where `low` is below 0.
    """
    if low < 0:
        return ConstantSignedInput.let(bit_width=bits, scaling_init=max(-low, high))
    return ConstantInput.let(bit_width=bits, scaling_init=high, **_proxy(bits))


def set_step(proxy: nn.Module, step: torch.Tensor) -> None:
    """Set the learned scale of a weight or activation quantizer to `step`.

    Args:
        proxy: `layer.weight_quant` or `layer.act_quant`.
        step: Δ, one element, or one for each output channel; positive.
    """
    quantizer = tensor_quantizer(proxy)
    with torch.no_grad():
        threshold = step.to(torch.float32)
        if not isinstance(quantizer, BinaryQuant):
            bits = quantizer.msb_clamp_bit_width_impl()
            threshold = threshold * quantizer.int_scaling_impl(bits)
        scaling = quantizer.scaling_impl
        restriction = scaling.restrict_clamp_scaling.restrict_value_impl
        if isinstance(restriction, PowerOfTwoRestrictValue):
            threshold = torch.log2(threshold)
        scaling.value.copy_(threshold.reshape(scaling.value.shape))


def learned_thresholds(proxy: nn.Module) -> ThresholdQuant | None:
    """The learned thresholds of an activation quantizer; None where they are uniform."""
    rounding = getattr(tensor_quantizer(proxy), "int_quant", None)
    return rounding if isinstance(rounding, ThresholdQuant) else None


def code_range(proxy: nn.Module) -> tuple[int, int]:
    """Lowest and highest code of a quantizer; binary weights have only these two."""
    quantizer = tensor_quantizer(proxy)
    if isinstance(quantizer, BinaryQuant):
        return -1, 1
    bits = quantizer.msb_clamp_bit_width_impl()
    return (
        int(quantizer.int_quant.min_int(bits).item()),
        int(quantizer.int_quant.max_int(bits).item()),
    )


def is_quantized(layer: nn.Module) -> bool:
    """Whether a convolution or fully connected layer has quantized weights."""
    proxy = getattr(layer, "weight_quant", None)
    return proxy is not None and bool(proxy.is_quant_enabled)


def has_quantizers(network: nn.Module) -> bool:
    """Whether any weight of a network is quantized."""
    return any(is_quantized(layer) for layer in network.modules())


def fix_weight_steps(network: nn.Module) -> None:
    """Exclude the scales of all weights from training."""
    for layer in network.modules():
        if is_quantized(layer):
            proxy: Any = layer.weight_quant
            tensor_quantizer(proxy).scaling_impl.value.requires_grad_(False)


def weight_level_quantizer(proxy: nn.Module) -> LevelQuant | None:
    """What has the levels of a weight quantizer where these are not uniform."""
    rounding = getattr(tensor_quantizer(proxy), "int_quant", None)
    return rounding if isinstance(rounding, LevelQuant) else None


def is_binary(proxy: nn.Module) -> bool:
    """Whether a weight quantizer has the codes -1 and +1 only."""
    return isinstance(tensor_quantizer(proxy), BinaryQuant)


def tensor_quantizer(proxy: nn.Module) -> Any:
    """Brevitas' inner module that computes scale and codes.

    Raises:
        InternalError: when the layer is not quantized.
    """
    inner = getattr(proxy, "fused_activation_quant_proxy", proxy)
    quantizer = getattr(inner, "tensor_quant", None)
    if quantizer is None:
        raise InternalError(f"a {type(proxy).__name__} without a quantizer has no scale")
    return quantizer


def _proxy(bits: int) -> dict[str, Any]:
    if bits > 1:
        return {}
    from qdeploy.quant.one_bit import OneBitActProxy  # loads Brevitas' exporter

    return {"proxy_class": OneBitActProxy}


def _clip(pact: bool) -> dict[str, Any]:
    return {"int_quant": FusedPactQuant} if pact else {}


def _restriction(power_of_two: bool) -> dict[str, Any]:
    if not power_of_two:
        return {}
    return {
        "restrict_scaling_type": RestrictValueType.POWER_OF_TWO,
        # Nearest power: Brevitas' default rounds up and would double an initial value set here.
        "restrict_value_float_to_int_impl": RoundSte,
    }

"""Activation scales with few significant bits, so that float computations give exact codes.

Where codes are quantized again without a layer in between (a shortcut, a residual sum, its half),
the value is n·s for an integer n, and its code is that of n·s/t. With the significands of s and t
of b bits and |n| < 2^(24 - b), n·s is exact in float32, and n·s/t either is a tie, which the
division then gives exactly, or is at least 2^-(b + 1) away from one, far more than it rounds. So
torch and the QONNX executor agree with the integers. With 24 bits in s they do not: half of an odd
sum on the sum's own grid is always a tie, and n·s is rounded to one of its sides.

A scale changes by at most 2^-b of its value; powers of two do not change. This is the last step of
training before the final evaluation, so that the exported network is the one that was measured.
"""

from __future__ import annotations

import torch
from brevitas.core.scaling import ParameterScaling
from brevitas.proxy import ActQuantProxyFromInjector
from torch import nn

from qdeploy.quant.quantizers import set_step, tensor_quantizer

SIGNIFICANT_BITS = 12


def shorten_scales(network: nn.Module) -> None:
    """Round the learned scales of all activation quantizers to `SIGNIFICANT_BITS`, in place."""
    for module in network.modules():
        if not isinstance(module, ActQuantProxyFromInjector) or not module.is_quant_enabled:
            continue
        if isinstance(getattr(tensor_quantizer(module), "scaling_impl", None), ParameterScaling):
            step = module.scale().detach()
            if not torch.equal(step, shortened(step)):
                set_step(module, shortened(step))


def shortened(values: torch.Tensor) -> torch.Tensor:
    """Positive float32 values rounded to `SIGNIFICANT_BITS` significant bits."""
    significand, exponent = torch.frexp(values)
    return torch.ldexp((significand * 2**SIGNIFICANT_BITS).round() / 2**SIGNIFICANT_BITS, exponent)

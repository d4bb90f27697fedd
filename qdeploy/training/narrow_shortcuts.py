"""Strided 1x1 convolutions of few channels, whose weight gradient torch computes beyond its memory.

On CPUs without AVX-512, torch 2.12 with oneDNN 3.11 writes beyond the end of its buffer in the
weight gradient of a 1x1 convolution with a stride, of 2 to 7 input channels, channels last: the
process is aborted some allocations later. It was seen on an AMD EPYC with AVX2; the same networks
train on processors with AVX-512, and the pass forward is right on both. While they train, such
layers leave out the pixels themselves, and convolve what is left with stride 1, which is the same
sum.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

FEWEST = 8  # input channels from which on torch's own is right


def spare_narrow_shortcuts(network: nn.Module) -> None:
    """Let the layers concerned of `network` do without torch's strided convolution in training."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _concerned(module):
            # Without a reference to the module: copies of it keep working.
            own: Any = partial(_forward, module.stride)
            module._conv_forward = own  # type: ignore[method-assign]


def _concerned(layer: nn.Conv2d) -> bool:
    pointwise = layer.kernel_size == (1, 1) and layer.padding == (0, 0) and layer.groups == 1
    return pointwise and max(layer.stride) > 1 and layer.in_channels < FEWEST


def _forward(
    stride: tuple[int, ...], x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    if torch.is_grad_enabled() and x.device.type == "cpu" and not torch.jit.is_tracing():
        return F.conv2d(x[..., :: stride[0], :: stride[1]], weight, bias)
    return F.conv2d(x, weight, bias, (stride[0], stride[1]))

"""Products in bfloat16, except where torch computes them wrong.

On CPUs, torch 2.12 with oneDNN returns uninitialized memory as the weight gradient of a dilated
grouped convolution that is computed in bfloat16 (stride 1; seen with AVX-512). Those layers, the
depthwise ones of DeepLab, stay in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def mixed_precision(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Inside, layers of `network` multiply in bfloat16 on `device`."""
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(device.type, dtype=torch.bfloat16))
        if device.type == "cpu":
            for module in network.modules():
                if isinstance(module, nn.Conv2d) and module.groups > 1 and max(module.dilation) > 1:
                    stack.enter_context(_in_float32(module))
        yield


@contextmanager
def _in_float32(module: nn.Module) -> Iterator[None]:
    off = torch.autocast("cpu", enabled=False)

    def enter(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        off.__enter__()
        return tuple(one.float() for one in inputs)

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        off.__exit__(None, None, None)

    hooks = (
        module.register_forward_pre_hook(enter),
        module.register_forward_hook(leave, always_call=True),
    )
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

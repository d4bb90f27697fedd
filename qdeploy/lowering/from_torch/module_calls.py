"""The output of each call of each module of a network, named as the exporter names it.

A module's path is the chain of calls that led to it, each with its own scope: for most modules that
is the module's name. A quantizer that several blocks share belongs to one of them, or to their
group, but is called in each: `group1.block2.stream` is what block 2 of group 1 called.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import torch
from torch import nn

from qdeploy.lowering.canonical.module_names import path_of, scope_of


def outputs_by_call(
    network: nn.Module, frames: torch.Tensor, wanted: Container[str]
) -> dict[str, list[torch.Tensor]]:
    """Run a network in evaluation and keep the outputs of some paths, one for each call.

    Args:
        network: it is called once; the path of the network itself is the empty string.
        frames: its input.
        wanted: paths to keep.
    """
    seen: dict[str, list[torch.Tensor]] = {}
    stack: list[str] = []

    def leave(module: nn.Module, inputs: object, output: Any) -> None:
        path = path_of(name for name in stack if name)
        stack.pop()
        if path in wanted:
            seen.setdefault(path, []).append(getattr(output, "value", output).detach())

    handles = []
    for name, module in network.named_modules():
        scope = scope_of(name)
        handles.append(
            module.register_forward_pre_hook(lambda m, inputs, scope=scope: stack.append(scope))
        )
        handles.append(module.register_forward_hook(leave))
    try:
        with torch.no_grad():
            network.eval()(frames)
    finally:
        for handle in handles:
            handle.remove()
    return seen

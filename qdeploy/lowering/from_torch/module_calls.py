"""The output of each call of each module of a network, named as the exporter names it.

A module's path is the chain of calls that led to it, each with its own scope: for most modules that
is the module's name. A quantizer that several blocks share belongs to one of them, or to their
group, but is called in each: `group1.block2.stream` is what block 2 of group 1 called.
"""

from __future__ import annotations

import contextlib
from collections.abc import Container
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from qdeploy.lowering.canonical.module_names import path_of, scope_of


class CallRecorder:
    """A network that is run in evaluation and keeps the outputs of some paths.

    It listens to every module until it is closed, and runs in one thread at a time.

    Args:
        network: the path of the network itself is the empty string.
        wanted: paths to keep.
    """

    def __init__(self, network: nn.Module, wanted: Container[str]) -> None:
        self._network, self._wanted = network.eval(), wanted
        self._seen: dict[str, list[torch.Tensor]] = {}
        self._stack: list[str] = []
        self._handles: list[RemovableHandle] = []
        for name, module in network.named_modules():
            enter = partial(self._enter, scope_of(name))
            self._handles.append(module.register_forward_pre_hook(enter))
            self._handles.append(module.register_forward_hook(self._leave))

    def __call__(self, frames: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Outputs by path, one for each call; the network is called once."""
        self._seen, self._stack = {}, []
        with torch.no_grad():
            self._network(frames)
        return self._seen

    def close(self) -> None:
        """Leave the network as it was."""
        for handle in self._handles:
            handle.remove()

    def _enter(self, scope: str, module: nn.Module, inputs: object) -> None:
        self._stack.append(scope)

    def _leave(self, module: nn.Module, inputs: object, output: Any) -> None:
        path = path_of(name for name in self._stack if name)
        self._stack.pop()
        if path in self._wanted:
            self._seen.setdefault(path, []).append(getattr(output, "value", output).detach())


def outputs_by_call(
    network: nn.Module, frames: torch.Tensor, wanted: Container[str]
) -> dict[str, list[torch.Tensor]]:
    """Run a network in evaluation and keep the outputs of some paths, one for each call.

    Args:
        network: it is called once; the path of the network itself is the empty string.
        frames: its input.
        wanted: paths to keep.
    """
    with contextlib.closing(CallRecorder(network, wanted)) as recorder:
        return recorder(frames)

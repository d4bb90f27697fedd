"""The module that a traced network becomes: its steps in order, under the names of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from qdeploy.tracing.operations import INPUT


class Step(NamedTuple):
    """One call.

    Args:
        result: name of what it gives.
        module: name of the module that is called.
        inputs: names of results.
    """

    result: str
    module: str
    inputs: tuple[str, ...]


class Scope(nn.Module):
    """Modules below one name, such as `layer1` or `layer1.0`.

    A call passes through the scopes on its way, so that exporters name nodes after all of them.
    """

    def forward(self, path: tuple[str, ...], *inputs: torch.Tensor) -> torch.Tensor:
        """What the module at `path` makes of the inputs."""
        return called(self, path, inputs)


class TracedNetwork(nn.Module):
    """A network as the list of its steps.

    Attributes:
        input_shape: of a frame, such as (C, H, W).

    Args:
        modules: name in dots -> module.
        steps: in order.
        output: the result that is returned.
        input_shape: as the attribute.
        title: name of the person's class.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        steps: Sequence[Step],
        output: str,
        input_shape: tuple[int, ...],
        title: str,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        # Children have the names of the person's own: these are private.
        self._output, self._title = output, title
        for name, module in modules.items():
            *scopes, last = name.split(".")
            parent: nn.Module = self
            for scope in scopes:
                if scope not in parent._modules:
                    parent.add_module(scope, Scope())
                parent = parent.get_submodule(scope)
            parent.add_module(last, module)
        self._plan = [(one, tuple(one.module.split("."))) for one in steps]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, *input_shape) -> what the person's network gives."""
        results: dict[str, Any] = {INPUT: x}
        for step, path in self._plan:
            inputs = tuple(results[name] for name in step.inputs)
            results[step.result] = called(self, path, inputs)
        result: torch.Tensor = results[self._output]
        return result


def title_of(module: nn.Module) -> str:
    """The name of a module's class; of the person's class for a traced network."""
    return module._title if isinstance(module, TracedNetwork) else type(module).__name__


def gives_logits(network: nn.Module) -> nn.Module:
    """A traced network without its softmax or sigmoid at the end, changed in place; any other
    module as it is."""
    if isinstance(network, TracedNetwork):
        for name, module in list(network.named_modules()):
            if isinstance(module, nn.Softmax | nn.LogSoftmax | nn.Sigmoid):
                parent, _, child = name.rpartition(".")
                setattr(network.get_submodule(parent), child, nn.Identity())
    return network


def called(
    parent: nn.Module, path: tuple[str, ...], inputs: tuple[torch.Tensor, ...]
) -> torch.Tensor:
    """What the module at `path` below `parent` makes of the inputs."""
    child = parent.get_submodule(path[0])
    result: torch.Tensor = child(*inputs) if len(path) == 1 else child(path[1:], *inputs)
    return result

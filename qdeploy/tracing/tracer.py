"""A module's graph by torch.fx, with the line of code that each node comes from.

The module runs on the example first: what is wrong with its shape is told by the module itself, and
every node's result has a known shape.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn

from qdeploy.errors import QDeployError, UnsupportedLayerError, UserError
from qdeploy.tracing.places import Place, calling_place, failing_place

# Keys of a node's `meta`.
PLACE, SCOPE, VALUE = "qdeploy_place", "qdeploy_scope", "qdeploy_value"


class Tracer(fx.Tracer):
    """Notes for each node its line of code, and the name of the module whose `forward` it is in.

    Args:
        is_leaf: whether a module is taken as a whole.
    """

    def __init__(self, is_leaf: Callable[[nn.Module], bool]) -> None:
        super().__init__()
        self._is_leaf = is_leaf
        self._scopes = [""]
        self.failed_in: str | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return self._is_leaf(m)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        self._scopes.append(self.path_of_module(m))
        finished = False
        try:
            result = super().call_module(m, forward, args, kwargs)
            finished = True
        finally:
            scope = self._scopes.pop()
            if not finished:  # the innermost one is the first to end
                self.failed_in = self.failed_in or scope
        return result

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[PLACE], node.meta[SCOPE] = calling_place(), self._scopes[-1]
        return node


def own_copy(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode on the CPU: the person's module is left alone."""
    return copy.deepcopy(module).cpu().eval()


def traced(
    module: nn.Module, example: torch.Tensor, is_leaf: Callable[[nn.Module], bool]
) -> fx.GraphModule:
    """The graph of `module` in evaluation mode, each node with its value's shape.

    Args:
        module: an `own_copy`; parameters of lazy layers are made.
        example: frames, (N, ...).
        is_leaf: whether a module is one node of the graph.

    Returns:
        Its nodes have `meta[PLACE]` (a `Place` or None), `meta[SCOPE]` (name of a module) and
        `meta[VALUE]` (result for two frames of the example).

    Raises:
        UserError: the module does not take the example.
        UnsupportedLayerError: the module cannot be traced.
    """
    own = nn.Sequential(module) if is_leaf(module) else module
    # Two frames show what depends on how many there are.
    frames = example.detach().cpu()[:2]
    kind = type(module).__name__

    def untaken(error: Exception) -> QDeployError:
        return UserError(
            f"`{kind}` does not take the example, whose shape is {tuple(example.shape)}",
            where=_text(failing_place(error)),
            why=f"{type(error).__name__}: {error}",
            do="give an example of a few frames as the module takes them, (N, channels, height, "
            "width), (N, channels, length) or (N, features)",
        )

    def untraced(error: Exception) -> QDeployError:
        inside = f"`{tracer.failed_in}` of `{kind}`" if tracer.failed_in else f"`{kind}`"
        return UnsupportedLayerError(
            f"{inside} cannot be traced",
            where=_text(failing_place(error)),
            why=f"{type(error).__name__}: {error}",
            do="what runs may not depend on values of tensors: take branches and loops over them "
            "out of `forward`, or decide by settings that the module has from its constructor",
        )

    with _refused(untaken), torch.no_grad():
        own(frames)
    tracer = Tracer(is_leaf)
    with _refused(untraced):
        graph = tracer.trace(own, _defaults(own))
    found = fx.GraphModule(own, graph)
    with torch.no_grad():
        _Recorder(found).run(frames)
    return found


@contextlib.contextmanager
def _refused(refusal: Callable[[Exception], QDeployError]) -> Iterator[None]:
    """What the code of a person's module raises, which may be anything, as a refusal; refusals of
    qdeploy go on as they are."""
    try:
        yield
    except QDeployError:
        raise
    except Exception as error:
        raise refusal(error) from error


class _Recorder(fx.Interpreter):
    """Keeps each node's value."""

    def run_node(self, n: fx.Node) -> Any:
        n.meta[VALUE] = super().run_node(n)
        return n.meta[VALUE]


def _defaults(module: nn.Module) -> dict[str, Any]:
    """Arguments of `forward` after the first one that have default values: these are taken."""
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    return {
        one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty
    }


def _text(place: Place | None) -> str | None:
    return None if place is None else str(place)

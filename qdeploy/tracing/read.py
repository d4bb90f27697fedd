"""From a traced graph to operations; all that cannot become one is named in one error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from qdeploy.errors import UnsupportedLayerError
from qdeploy.tracing.chains import Chain, RefusedError
from qdeploy.tracing.functions import chain_of_function, name_of, shape_of
from qdeploy.tracing.leaves import chain_of, is_leaf
from qdeploy.tracing.nearest import nearest
from qdeploy.tracing.operations import INPUT, FloatGraph, Kind, Operation, unique
from qdeploy.tracing.places import Place
from qdeploy.tracing.tracer import PLACE, SCOPE, VALUE, traced

_NO_ACTIVATION = (bool, int, float, torch.Size, torch.dtype, torch.device)


def read_float(module: nn.Module, example: torch.Tensor) -> FloatGraph:
    """The operations of a float network.

    Args:
        module: an `own_copy`.
        example: frames, (N, ...).

    Raises:
        UserError: the module does not take the example.
        UnsupportedLayerError: it cannot be traced, or does what cannot be quantized.
    """
    return _Reader(traced(module, example, is_leaf), type(module).__name__).read()


@dataclass(frozen=True)
class _Problem:
    name: str
    what: str
    refused: RefusedError
    place: Place | None

    def __str__(self) -> str:
        lines = [
            f"`{self.name}` ({self.what}): {self.refused.why}",
            str(self.place or ""),
            self.refused.do or nearest(self.what),
        ]
        return "\n    ".join(filter(None, lines))


class _Reader:
    def __init__(self, graph: fx.GraphModule, kind: str) -> None:
        self._graph, self._kind = graph, kind
        self._operations: list[Operation] = []
        self._problems: list[_Problem] = []
        # Node -> operation whose result it is; other nodes are constants and sizes.
        self._results: dict[fx.Node, str] = {}
        # The names of the person's own modules are for these alone.
        self._taken = {name for name, _ in graph.named_modules()} | {INPUT}
        self._called: set[str] = set()
        # Of what is refused, several results: their parts are no problems of their own.
        self._tuples: set[fx.Node] = set()

    def read(self) -> FloatGraph:
        output: Any = None
        live = _live(self._graph.graph)
        for node in self._graph.graph.nodes:
            if node.op == "placeholder" and not self._operations:
                self._results[node] = INPUT
                self._operations.append(
                    Operation(INPUT, Kind.INPUT, (), None, shape_of(node), INPUT, None)
                )
            elif node.op == "output":
                output = node.args[0]
            elif node in live and any(one in self._results for one in node.all_input_nodes):
                self._read(node)
        if not isinstance(output, fx.Node) or output not in self._results:
            raise UnsupportedLayerError(
                f"`{self._kind}` does not give one tensor that it makes of its input",
                why=f"it gives {_described(output)}",
                do="return the logits alone from `forward` in evaluation mode",
            )
        self._check_last(self._results[output])
        if self._problems:
            count = len(self._problems)
            raise UnsupportedLayerError(
                f"{count} operation{'s' if count > 1 else ''} of `{self._kind}` cannot be "
                "quantized\n  " + "\n  ".join(map(str, self._problems))
            )
        return FloatGraph(tuple(self._operations), self._results[output], self._kind)

    def _read(self, node: fx.Node) -> None:
        value = node.meta[VALUE]
        if isinstance(value, _NO_ACTIVATION) or _is_sizes(value):
            return
        operands = _activations(node, self._results)
        if name_of(node) == "getitem" and operands[0] in self._tuples:
            self._results[node] = self._results[operands[0]]
            return
        inputs = tuple(self._results[one] for one in operands)
        module: nn.Module | None = None
        if node.op == "call_module":
            module, own = self._graph.get_submodule(str(node.target)), str(node.target)
            what = type(module).__name__
        else:
            what = name_of(node)
            own = f"{node.meta[SCOPE]}.{what}".lstrip(".")
        try:
            if not isinstance(value, torch.Tensor):
                self._tuples.add(node)
                raise RefusedError(f"it gives a {type(value).__name__}")
            if module is None:
                chain = chain_of_function(node, what, operands)
            else:
                chain = chain_of(module, shape_of(operands[0]), shape_of(node))
        except RefusedError as refused:
            self._problems.append(_Problem(own, what, refused, node.meta[PLACE]))
            self._results[node] = inputs[0]
            return
        self._results[node] = self._append(node, own, chain, inputs, module is not None)

    def _append(
        self, node: fx.Node, own: str, chain: Chain, inputs: tuple[str, ...], is_module: bool
    ) -> str:
        """Add operations; the name of the last one."""
        given = shape_of(_activations(node, self._results)[0])
        for index, (kind, module) in enumerate(chain):
            if isinstance(module, nn.Identity):
                continue
            first = own not in self._called and is_module and index == 0
            stem = own if index == 0 else f"{own}_{kind.value}"
            name = own if first else unique(stem, self._taken)
            # Of several, the last one alone changes the shape, or the average does.
            shape = given if index < len(chain) - 1 else shape_of(node)
            if len(chain) > 1 and kind is Kind.AVERAGE:
                shape = (given[0], *(1 for _ in given[1:]))
            # Parameters are one module's, however often that is called.
            shared = is_module and index == 0 and any(True for _ in module.parameters())
            uses = own if shared else name
            self._called.add(own)
            self._operations.append(
                Operation(name, kind, inputs, module, shape, uses, node.meta[PLACE])
            )
            inputs = (name,)
        return inputs[0]

    def _check_last(self, output: str) -> None:
        """Steps that a network may only end in are at its end."""
        read = {name for one in self._operations for name in one.inputs}
        for one in self._operations:
            if one.kind is Kind.LAST and (one.name in read or one.name != output):
                what = type(one.module).__name__
                refused = RefusedError("it is not the last step", nearest(what))
                self._problems.append(_Problem(one.name, what, refused, one.place))


def _live(graph: fx.Graph) -> set[fx.Node]:
    """Nodes that the output is computed from: whatever else the person computes does not count."""
    found: set[fx.Node] = set()
    todo = [node for node in graph.nodes if node.op == "output"]
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += node.all_input_nodes
    return found


def _activations(node: fx.Node, known: dict[fx.Node, str]) -> list[fx.Node]:
    """The activations among a node's arguments, each as often as it is there."""
    found: list[fx.Node] = []

    def keep(one: fx.Node) -> fx.Node:
        if one in known:
            found.append(one)
        return one

    fx.node.map_arg((node.args, node.kwargs), keep)
    return found


def _is_sizes(value: object) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(one, int) for one in value)


def _described(output: object) -> str:
    if isinstance(output, dict):
        return f"a dictionary with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, tuple | list):
        return f"{len(output)} values"
    return "a constant"

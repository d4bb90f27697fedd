"""What a pass over a QONNX file is: requires -> call -> ensures.

A pass gets a copy of the model; `requires` refuses what it cannot take, `call` rewrites, `ensures`
checks what it promised. A pass that rewrote something is also run on probe frames by the official
executor before and after: the outputs must agree within the pass's `tolerance` (0: bit for bit).
Passes run to a fixpoint, with a bound on the rounds.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from qdeploy.errors import PassError, UnsupportedLayerError
from qdeploy.lowering.canonical.executor import execute, probe_frame

# A round may uncover work for the next; a file of any depth needs two or three.
MAX_ROUNDS = 10


@dataclass(frozen=True)
class PassResult:
    """The model after a pass, and whether the pass changed anything."""

    model: ModelProto
    modified: bool


class Pass(ABC):
    """One rewriting of a QONNX model.

    Attributes:
        tolerance: largest difference of an output on the probe frame, relative to the largest
            output.
    """

    tolerance: float = 0.0

    def requires(self, model: ModelProto) -> None:  # noqa: B027 - most passes take any model
        """Refuse a model the pass cannot take.

        Raises:
            UnsupportedLayerError: the file holds something that cannot become hardware.
        """

    @abstractmethod
    def call(self, model: ModelProto) -> PassResult:
        """Rewrite `model` in place."""

    def ensures(self, model: ModelProto) -> None:  # noqa: B027 - the probe may be check enough
        """Check what the pass promises.

        Raises:
            PassError: the promise is broken.
        """

    def __call__(self, model: ModelProto, *, probe: bool = True) -> PassResult:
        """Run the pass on a copy and check it; `probe`: compare outputs before and after."""
        self.requires(model)
        result = self.call(copy.deepcopy(model))
        self.ensures(result.model)
        if probe and result.modified:
            self._same_outputs(model, result.model)
        return result

    def _same_outputs(self, before: ModelProto, after: ModelProto) -> None:
        frame = probe_frame(before)
        expected = execute(before, frame)[before.graph.output[0].name]
        if not np.isfinite(expected).all():
            return  # A scale or a weight is not finite: the lowering says which.
        found = execute(after, frame)[after.graph.output[0].name]
        allowed = self.tolerance * max(1.0, float(np.abs(expected).max()))
        difference = float(np.abs(expected.reshape(-1) - found.reshape(-1)).max())
        if not difference <= allowed:
            raise PassError(
                f"{type(self).__name__} changed the outputs by {difference:.3g}",
                why=f"at most {allowed:.3g} is allowed",
            )


def run_passes(model: ModelProto, passes: Iterable[Pass], *, probe: bool = True) -> PassResult:
    """Run passes one after the other, again and again, until none of them changes anything.

    Raises:
        PassError: some still do after `MAX_ROUNDS` rounds.
    """
    steps = tuple(passes)
    for count in range(MAX_ROUNDS):
        busy = []
        for step in steps:
            result = step(model, probe=probe)
            model = result.model
            if result.modified:
                busy.append(type(step).__name__)
        if not busy:
            return PassResult(model, count > 0)
    raise PassError(
        f"{', '.join(busy)} reached no fixpoint within {MAX_ROUNDS} rounds",
        why="one pass undoes what another does, or finds its own result again",
    )


def initializers(model: ModelProto) -> dict[str, np.ndarray]:
    """The constants of the file by name."""
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def shape_of(model: ModelProto, name: str) -> tuple[int, ...]:
    """The shape of a tensor with its batch axis, () where it is unknown."""
    items = (*model.graph.value_info, *model.graph.input, *model.graph.output)
    for item in items:
        if item.name == name:
            return tuple(d.dim_value for d in item.type.tensor_type.shape.dim)
    for tensor in model.graph.initializer:
        if tensor.name == name:
            return tuple(numpy_helper.to_array(tensor).shape)
    return ()


def add_initializer(model: ModelProto, name: str, array: np.ndarray) -> str:
    """Add a constant and return its name."""
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def replace_node(model: ModelProto, old: NodeProto, new: Iterable[NodeProto]) -> None:
    """Put nodes in the place of one node."""
    nodes = list(model.graph.node)
    index = next(i for i, node in enumerate(nodes) if node is old or node == old)
    nodes[index : index + 1] = list(new)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def bypass(model: ModelProto, node: NodeProto) -> None:
    """Remove a node that passes its first input through unchanged."""
    source, target = node.input[0], node.output[0]
    if target == model.graph.output[0].name:
        producer = next((n for n in model.graph.node if source in n.output), None)
        if producer is None:
            raise UnsupportedLayerError(
                "the file's output is its input, unchanged",
                where=f"node `{node.name or target}` ({node.op_type})",
                do="export a network with a layer",
            )
        for user in model.graph.node:
            user.input[:] = [target if name == source else name for name in user.input]
        producer.output[:] = [target if name == source else name for name in producer.output]
    else:
        for user in model.graph.node:
            user.input[:] = [source if name == target else name for name in user.input]
    model.graph.node.remove(node)

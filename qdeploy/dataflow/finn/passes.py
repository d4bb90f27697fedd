"""Run passes of FINN and qonnx: each to a fixpoint, within a bound, without looking at the whole
model after every node.

Their own driver repeats a pass for as long as it changes something, which need not end, copies and
sorts the model around every pass, and infers all shapes and types again after every node a pass
rewrites: minutes for a network of a hundred layers. Here every tensor has its shape and type before
a pass starts, so what a pass asks to infer waits until it changes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.base import Transformation
from qonnx.transformation.infer_datatypes import InferDataTypes

from qdeploy.errors import PassError


class NoInferenceWrapper(ModelWrapper):
    """A model whose passes cannot start other passes, such as the inference of shapes and types."""

    def transform(self, transformation: Transformation, *_: Any, **__: Any) -> NoInferenceWrapper:
        return self


def forget_unused(model: ModelWrapper) -> None:
    """Remove constants, shapes and types of tensors that no node of `model` knows, in place."""
    graph = model.graph
    known = {name for node in graph.node for name in (*node.input, *node.output)}
    for items, key in (
        (graph.initializer, "name"),
        (graph.value_info, "name"),
        (graph.quantization_annotation, "tensor_name"),
    ):
        kept = [item for item in items if getattr(item, key) in known]
        del items[:]
        items.extend(kept)


def run_to_fixpoint(model: ModelWrapper, steps: Iterable[Transformation]) -> ModelWrapper:
    """Run each step on `model`, in place, until it changes nothing; then infer types once.

    Raises:
        PassError: a step still changes something after one round for each node, and two more.
    """
    wrapper = NoInferenceWrapper(model.model, fix_missing_initializer_valueinfo=False)
    for step in steps:
        rounds = len(wrapper.graph.node) + 2
        if not any(not step.apply(wrapper)[1] for _ in range(rounds)):
            raise PassError(
                f"FINN's pass {type(step).__name__} still changed the model after {rounds} rounds",
                why="every round has to leave fewer nodes to rewrite",
            )
    result = ModelWrapper(wrapper.model, fix_missing_initializer_valueinfo=False)
    InferDataTypes().apply(result)
    return result

"""Run FINN's hardware layers in Python, node by node: the `dataflow` level of verification.

Every node executes FINN's own definition of itself. Arrays are float64, so integers are exact to
2^53; FINN's executor would use float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.finn.boundaries import boundary_nodes
from qdeploy.dataflow.finn.operators import backend_of, register
from qdeploy.dataflow.finn.specialize import despecialize
from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.layout import stream_shape, to_graph_order, to_stream_order

if TYPE_CHECKING:
    import numpy.typing as npt
    from qonnx.core.modelwrapper import ModelWrapper


class DataflowExecutor:
    """FINN's hardware layers as a function of input codes.

    Args:
        model: hardware layers only, named (`hw_layers.to_hw_layers` and later).
        graph: the integer graph it was made from, for names and shapes of the boundaries.
    """

    def __init__(self, model: ModelWrapper, graph: IntegerGraph) -> None:
        register()
        from qonnx.custom_op.registry import getCustomOp

        model = despecialize(model)
        self.model, self.graph = model, graph
        self.stream = model.graph.input[0].name
        self.outputs = {name: node.output[0] for name, node in boundary_nodes(model, graph).items()}
        self.instances = [getCustomOp(node) for node in model.graph.node]
        self.constants = {
            item.name: np.asarray(model.get_initializer(item.name), dtype=np.float64)
            for item in model.graph.initializer
        }
        self.shapes = {
            name: tuple(model.get_tensor_shape(name))
            for node in model.graph.node
            for name in node.output
        }

    def run(self, codes: npt.NDArray[np.integer]) -> dict[str, npt.NDArray[np.int64]]:
        """Execute frame by frame.

        Args:
            codes: (frames, *input shape), feature maps as (C, H, W).

        Returns:
            Boundary name -> codes (frames, *shape), feature maps as (C, H, W).
        """
        collected: dict[str, list[np.ndarray]] = {name: [] for name in self.outputs}
        for frame in codes:
            context = self._frame(frame)
            for name, tensor in self.outputs.items():
                collected[name].append(self._boundary_codes(name, context[tensor]))
        return {name: np.stack(frames) for name, frames in collected.items()}

    def _frame(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        values = to_stream_order(frame, frames=False)
        shape = tuple(self.model.get_tensor_shape(self.stream))
        context = dict(self.constants)
        context[self.stream] = values.reshape(shape).astype(np.float64)
        for node, inst in zip(self.model.graph.node, self.instances, strict=True):
            for index, name in enumerate(node.input):
                if name not in self.constants:
                    # A vector may come from the pixels of a map: same elements, same order.
                    context[name] = context[name].reshape(inst.get_normal_input_shape(index))
            for name in node.output:
                context[name] = np.zeros(self.shapes[name])
            backend_of(node.op_type).execute_plain(inst, context, self.model.graph)
        return context

    def _boundary_codes(self, name: str, values: np.ndarray) -> npt.NDArray[np.int64]:
        integers = np.rint(values).astype(np.int64)
        if not np.array_equal(integers, values):
            raise InternalError(f"FINN's nodes give fractions at boundary `{name}`")
        shaped = integers.reshape(stream_shape(self.graph.tensors[name]))
        return to_graph_order(shaped, frames=False)

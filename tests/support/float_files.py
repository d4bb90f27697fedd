"""Float networks as ONNX files, as exporters write them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper, save
from torch import nn


def exported(
    network: nn.Module, frames: torch.Tensor, path: Path, *, any_batch: bool = True
) -> Path:
    """A file of torch's exporter by traces, for a batch of any size, or of one frame."""
    axes = {"x": {0: "n"}} if any_batch else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (frames[:1],),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["x"],
            dynamic_axes=axes,
        )
    return path


def file_of(
    nodes: list[tuple[str, list[str], str, dict[str, object]]],
    constants: dict[str, np.ndarray],
    shape: tuple[int | str, ...],
    path: Path,
    kind: int = TensorProto.FLOAT,
) -> ModelProto:
    """A file of nodes (operator, inputs, output, attributes), from `x` to the last output."""
    made = [
        helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes)
        for op, inputs, output, attributes in nodes
    ]
    graph = helper.make_graph(
        made,
        "float",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, path)
    return model


def keras_like(path: Path, seed: int = 0) -> ModelProto:
    """Channels-last, as tf2onnx writes it: transposes around the maps, `same` padding on one side,
    a MatMul whose rows are in the order (height, width, channels), Softmax."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)

    constants = {
        "w1": drawn(4, 3, 3, 3),
        "b1": drawn(4),
        "w2": drawn(6, 4, 3, 3),
        "b2": drawn(1, 6, 1, 1),
        "flat": np.array([-1, 6 * 3 * 2]),
        "w3": drawn(36, 5),
        "b3": drawn(5),
    }
    nodes = [
        ("Transpose", ["x"], "planes", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["planes", "w1", "b1"], "c1", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ("Relu", ["c1"], "r1", {}),
        ("Conv", ["r1", "w2"], "c2", {"pads": [1, 1, 1, 1]}),
        ("Add", ["c2", "b2"], "a2", {}),
        ("Relu", ["a2"], "r2", {}),
        ("MaxPool", ["r2"], "p2", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Transpose", ["p2"], "rows", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["rows", "flat"], "vector", {}),
        ("MatMul", ["vector", "w3"], "m3", {}),
        ("Add", ["m3", "b3"], "a3", {}),
        ("Softmax", ["a3"], "y", {"axis": 1}),
    ]
    return file_of(nodes, constants, ("n", 12, 8, 3), path)

"""The exported file: what it computes, what it says of itself, and its names."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from qdeploy.ir.integer_graph import Conv, MaxPool, Threshold
from qdeploy.lowering.canonical.executor import execute
from qdeploy.lowering.from_torch.export import METADATA_KEY, export_qonnx_file, freeze_batch_norm
from qdeploy.lowering.integers.lower import lower

Make = Callable[..., nn.Module]
Frames = Callable[..., np.ndarray]


def test_the_file_gives_what_torch_gives_and_says_what_made_it(
    make_network: Make, frames: Frames, tmp_path: Path
) -> None:
    network = make_network("conv")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    model = onnx.load(path)
    values = (frames(network.input_shape) / 256).astype(np.float32)
    with torch.no_grad():
        frozen = freeze_batch_norm(network)(torch.from_numpy(values)).numpy()
    found = execute(model, values)["logits"]
    assert np.abs(found - frozen).max() < 1e-5
    assert {node.op_type for node in model.graph.node} == {
        *("Quant", "Conv", "Mul", "Add", "Relu", "MaxPool", "Flatten", "MatMul")
    }
    metadata = {item.key: item.value for item in model.metadata_props}
    assert "brevitas" in json.loads(metadata[METADATA_KEY])["versions"]
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [item.name for item in tmp_path.iterdir()] == ["net.qonnx.onnx"]


def test_layers_carry_the_module_paths(make_network: Make, tmp_path: Path) -> None:
    network = make_network("conv")
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    graph = lower(path)
    layers = {type(node): node.layer for node in graph.nodes}
    assert layers[Conv] == "body.0"
    assert layers[Threshold] == "body.2"
    assert layers[MaxPool] == "pool"
    assert graph.boundaries() == ["act1.code", "pool.code", "body.2.code", "logits"]

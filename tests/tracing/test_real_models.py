"""Models of torchvision and timm as they are, where these packages are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judged import judged

from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.grids import plan_grids
from qdeploy.tracing.operations import Kind
from qdeploy.tracing.quantize import quantize_module
from qdeploy.tracing.read import read_float
from qdeploy.tracing.tracer import own_copy
from qdeploy.verify.rungs.torch import torch_level

WHY = "runs where it is installed; `float_networks.py` has blocks like its own"
TRACED = ["densenet121", "squeezenet1_1", "vgg11_bn", "googlenet", "mnasnet0_5", "regnet_x_400mf"]
TIMM = ["resnet18", "resnet18d", "mobilenetv2_100"]


def model(package: str, name: str, **settings: Any) -> torch.nn.Module:
    found = pytest.importorskip(package, reason=WHY)
    torch.manual_seed(0)
    if package == "timm":
        made: torch.nn.Module = found.create_model(name, num_classes=10)
        return made
    made = getattr(found.models, name)(num_classes=10, weights=None, **settings)
    assert isinstance(made, torch.nn.Module)
    return made


@pytest.mark.parametrize(
    ("package", "name"),
    [*(("torchvision", one) for one in TRACED), *(("timm", one) for one in TIMM)],
)
def test_a_model_is_traced_whole(package: str, name: str) -> None:
    settings = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    size = 224 if name.startswith("vgg") else 64  # its adaptive average keeps maps of 7x7
    graph = read_float(own_copy(model(package, name, **settings)), torch.rand(2, 3, size, size))
    plan_grids(graph, signed_input=False)
    layers = [one for one in graph.operations if one.kind is Kind.LAYER]
    assert len(layers) > 8 and graph.operations[-1].shape == (10,)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_a_model_of_torchvision_is_exact_at_every_layer(name: str, tmp_path: Path) -> None:
    module, frames = model("torchvision", name), torch.randint(0, 256, (8, 3, 64, 64)) / 256
    with torch.no_grad():
        for _ in range(5):
            module.train()(frames)
    made = quantize_module(module, Quantization(weight_bits=4, activation_bits=4), frames)
    network, path = made.network, tmp_path / "net.qonnx.onnx"
    with torch.no_grad():
        network.train()(frames)
    export_qonnx_file(network.eval(), network.input_shape, path)
    graph, codes = lower(path), np.round(frames[:2].numpy() * 256).astype(np.int64)
    level = torch_level(deployed_network(network, path), graph, codes)
    verdict = judged(path, codes, level)
    assert verdict.wrong == 0, verdict
    assert len(level.codes) == len(graph.boundaries()) > 30

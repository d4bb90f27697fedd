"""Traced networks that make maps larger: transposed convolutions of every kind, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from judged import judged
from torch import nn

import qdeploy
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Upsample
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.integers.lower import lower
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.quantize import Quantized, quantize_module
from qdeploy.verify.rungs.torch import torch_level

FRAMES = torch.randint(0, 256, (6, 3, 8, 8), generator=torch.Generator().manual_seed(1)) / 256


def exact(made: Quantized, folder: Path) -> Any:
    """The integer graph, whose codes are those of the network in torch at every boundary."""
    path, network = folder / "net.onnx", made.network.eval()
    export_qonnx_file(network, network.input_shape, path)
    graph = lower(path)
    codes = graph.prepared.codes(FRAMES.numpy()).astype(np.int64)
    level = torch_level(deployed_network(network, path), graph, codes)
    verdict = judged(path, codes, level)
    assert verdict.wrong == 0, verdict
    assert len(np.unique(level.codes["logits"])) > 10
    return graph


@pytest.mark.parametrize("scaling", ["per_layer", "per_channel"])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2, "stride": 2},
        {"kernel_size": 3, "stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0)},
        {"kernel_size": 3, "dilation": 2, "padding": 2, "bias": False},
        {"kernel_size": 4, "stride": 2, "padding": 1, "groups": 3},
    ],
)
def test_a_transposed_convolution_is_exact(
    options: dict[str, Any], scaling: Any, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 9, **options),
        nn.ReLU(),
        nn.Conv2d(9, 3, 1),
    ).eval()
    with torch.no_grad():
        module[2].weight.mul_(torch.linspace(0.2, 3, module[2].weight.shape[1])[:, None, None])
    settings = Quantization(weight_bits=4, activation_bits=4, weight_scaling=scaling)
    made = quantize_module(module, settings, FRAMES)
    exact(made, tmp_path)
    # A scale that is another channel's loses most of what the layer says.
    near, far = made.network(FRAMES), module(FRAMES)
    assert float((near - far).norm() / far.norm()) < 0.35


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_pixels_that_are_repeated_come_after_the_relu(mode: str, tmp_path: Path) -> None:
    class Up(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(F.relu(F.interpolate(self.conv(x), scale_factor=(2, 3), mode=mode)))

    torch.manual_seed(3)
    graph = exact(quantize_module(Up(), Quantization(activation_bits=3), FRAMES), tmp_path)
    (up,) = (node for node in graph.nodes if isinstance(node, Upsample))
    assert graph.tensors[up.output].hi == 7


def test_a_decoder_is_quantized_without_training(tmp_path: Path) -> None:
    torch.manual_seed(4)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, 1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 6, 2, 2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(6, 3, 3, padding=1),
    ).eval()
    network = qdeploy.post_training(module, FRAMES)
    error = (network(FRAMES) - module(FRAMES)).norm() / module(FRAMES).norm()
    assert float(error) < 0.05


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        (nn.Upsample(scale_factor=2, mode="bilinear"), "mode 'bilinear', which mixes pixels"),
        (nn.Upsample(scale_factor=1.5), r"it resizes \(8, 8\) to \(12, 12\)"),
        (nn.ConvTranspose2d(3, 3, 3, 2, padding=3), "takes off more than its window reaches"),
    ],
)
def test_what_has_no_form_is_refused_with_the_nearest_one(layer: nn.Module, part: str) -> None:
    module = nn.Sequential(nn.Identity(), layer, nn.Conv2d(3, 2, 1))
    with pytest.raises(UnsupportedLayerError, match=part) as caught:
        quantize_module(module, Quantization(), FRAMES)
    assert "use " in str(caught.value)

"""Larger maps in a float file: transposed convolutions, repeated and shuffled pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from float_files import exported, file_of
from torch import nn

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ptq.importing.to_torch import import_float

CONSTANTS = {
    "s": np.array([1, 1, 2, 2], np.float32),
    "none": np.array([], np.float32),
    "w": np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32),
}
KERNEL = {"kernel_shape": [3, 3], "strides": [2, 2]}


@pytest.mark.parametrize(
    "layer",
    [
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        nn.ConvTranspose2d(4, 8, (2, 3), stride=(1, 3), groups=4, bias=False),
        nn.ConvTranspose2d(4, 6, 3, stride=2, dilation=2),
        nn.Upsample(scale_factor=(2, 3)),
    ],
)
def test_a_layer_with_a_batch_norm_behind_it_is_one(layer: nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(0)
    channels = 4 if isinstance(layer, nn.Upsample) else int(layer.out_channels)
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        norm.weight.uniform_(-2, 2)
        norm.bias.uniform_(-1, 1)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.2, 3)
    network = nn.Sequential(nn.Conv2d(4, 4, 1), layer, norm, nn.ReLU(), nn.Conv2d(channels, 2, 1))
    frames = torch.randn(3, 4, 5, 4)
    found = import_float(exported(network.eval(), frames, tmp_path / "net.onnx"))
    with torch.no_grad():
        wanted = network(frames)
        torch.testing.assert_close(found.module(frames), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (("Resize", ["x", "none", "s"], "y", {"mode": "linear"}), "mixes pixels"),
        (
            (
                *("Resize", ["x", "none", "s"], "y"),
                {"coordinate_transformation_mode": "align_corners", "nearest_mode": "floor"},
            ),
            "align_corners, floor",
        ),
        (("DepthToSpace", ["x"], "y", {"blocksize": 2}), "in the order DCR"),
        (("ConvTranspose", ["x", "w"], "y", {**KERNEL, "pads": [0, 0, 1, 1]}), "two sides"),
    ],
)
def test_what_torch_has_no_layer_for_is_refused(node: tuple, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    file_of([node], CONSTANTS, (1, 4, 6, 6), path)
    with pytest.raises(UnsupportedLayerError) as caught:
        import_float(path)
    assert said in caught.value.render()


def test_what_is_taken_off_the_first_side_alone_is_a_padding_of_the_output(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    node = ("ConvTranspose", ["x", "w"], "y", {**KERNEL, "pads": [1, 1, 0, 0]})
    file_of([node], CONSTANTS, (1, 4, 6, 6), path)
    found = import_float(path)  # which compares what it reads with onnxruntime
    (layer,) = (one for one in found.module.modules() if isinstance(one, nn.ConvTranspose2d))
    assert (layer.padding, layer.output_padding) == ((1, 1), (1, 1))

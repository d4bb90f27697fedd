"""Brevitas networks that join branches by channels and make maps larger, as torch exports them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import pytest
import torch
from dialect_check import check
from torch import nn

from qdeploy.ir.integer_graph import Concat, DepthToSpace, Dilate, Upsample
from qdeploy.lowering.from_torch.export import export_qonnx_file


class Decoder(nn.Module):
    """Down, up by one of four ways, and beside the map before; a class per pixel."""

    input_shape = (2, 8, 8)

    def __init__(self, make: Any, up: str) -> None:
        super().__init__()
        self.input_quant = make.input()
        self.first = nn.Sequential(make.conv(2, 4, padding=1), nn.BatchNorm2d(4), make.relu())
        self.down = nn.Sequential(nn.MaxPool2d(2), make.conv(4, 8, padding=1), make.relu())
        weights = make.weights(4, up == "transposed, per channel")
        self.up = {
            "upsample": nn.Upsample(scale_factor=2),
            "upsample to a size": nn.Upsample(size=(8, 8), mode="nearest"),
            "shuffle": nn.PixelShuffle(2),
            "transposed": qnn.QuantConvTranspose2d(
                8, 3, 3, stride=2, padding=1, output_padding=1, bias=False, weight_quant=weights
            ),
            "transposed, per channel": qnn.QuantConvTranspose2d(
                8, 3, 2, stride=2, bias=True, weight_quant=weights
            ),
        }[up]
        self.act = make.relu() if "transposed" in up else nn.Identity()
        channels = {"u": 8, "s": 2, "t": 3}[up[0]]
        self.last = nn.Sequential(
            make.conv(channels + 4, 4, padding=1), nn.BatchNorm2d(4), make.relu()
        )
        self.head = make.conv(4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skip = self.first(self.input_quant(x))
        y = self.act(self.up(self.down(skip)))
        return self.head(self.last(torch.cat([y, skip], dim=1)))


KINDS = {"u": Upsample, "s": DepthToSpace, "t": Dilate}


@pytest.mark.parametrize(
    "up",
    ["upsample", "upsample to a size", "shuffle", "transposed", "transposed, per channel"],
)
def test_the_integers_are_those_of_the_exported_file(
    up: str, layers: Any, calibrate: Callable[..., nn.Module], tmp_path: Path
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        # Power-of-two scales, so that what is joined lies on one grid.
        network = calibrate(Decoder(layers("power_of_two", False, 4, 4), up), Decoder.input_shape)
    path = tmp_path / "network.onnx"
    export_qonnx_file(network, network.input_shape, path)
    found = check(path, frames=3)
    assert (found.engine, found.exact, found.classes) == (0, 0, 0), found.note
    kinds = {type(node) for node in found.graph.nodes}
    assert {Concat, KINDS[up[0]]} <= kinds

"""One quantizer called by several blocks, and scales on which float levels are exact."""

from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from judged import judged
from torch import nn

from qdeploy.ir.integer_graph import Add, Threshold
from qdeploy.lowering.from_torch.export import (
    deployed_network,
    export_qonnx_file,
    freeze_batch_norm,
)
from qdeploy.lowering.from_torch.module_calls import outputs_by_call
from qdeploy.lowering.integers.lower import lower_with_affine
from qdeploy.quant.quantizers import activation_quantizer, set_step
from qdeploy.quant.short_scales import SIGNIFICANT_BITS, shorten_scales, shortened
from qdeploy.verify.float_levels import qonnx_level
from qdeploy.verify.rungs.torch import torch_level


class Block(nn.Module):
    """Half the sum of a layer and its input, on a grid that comes from outside."""

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.layer, self.norm = make.linear(6, 6), nn.BatchNorm1d(6)

    def forward(self, x: torch.Tensor, stream: nn.Module) -> torch.Tensor:
        return stream((x + stream(self.norm(self.layer(x)))) * 0.5)


class Streams(nn.Module):
    """Blocks on one grid; the first block's input is put on it too."""

    input_shape = (1, 2, 3)

    def __init__(self, make: Any, step: float) -> None:
        super().__init__()
        self.input_quant, self.flatten = make.input(), nn.Flatten()
        self.stream = qnn.QuantIdentity(
            act_quant=activation_quantizer(4, power_of_two=False), return_quant_tensor=False
        )
        set_step(self.stream.act_quant, torch.tensor(step))
        self.blocks = nn.ModuleList([Block(make), Block(make)])
        self.head = make.linear(6, 3, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stream(self.flatten(self.input_quant(x)))
        for block in self.blocks:
            x = block(x, self.stream)
        return self.head(x)


@pytest.fixture
def streams(layers: Any, calibrate: Any) -> Streams:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = Streams(layers("float", False, 4, 4), 0.0598)
        return calibrate(network, network.input_shape)


def test_each_call_is_named_by_the_block_that_made_it(streams: Streams, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    export_qonnx_file(streams, streams.input_shape, path)
    graph = lower_with_affine(path).graph
    made = {node.output: node.layer for node in graph.nodes if isinstance(node, Threshold)}
    assert made == {
        "stream.code": "stream",
        "blocks.0.stream.code": "blocks.0.stream",
        "blocks.0.stream.code_2": "blocks.0.stream",
        "blocks.1.stream.code": "blocks.1.stream",
        "blocks.1.stream.code_2": "blocks.1.stream",
    }
    assert [node.layer for node in graph.nodes if isinstance(node, Add)] == ["blocks.0", "blocks.1"]
    sums = {node.output: node.inputs for node in graph.nodes if isinstance(node, Add)}
    assert set(sums["blocks.1.sum"]) == {"blocks.0.stream.code_2", "blocks.1.stream.code"}


def test_outputs_are_kept_by_path_and_call(streams: Streams) -> None:
    frames = torch.rand(3, *streams.input_shape)
    found = outputs_by_call(streams, frames, {"", "blocks.1.stream", "blocks.0.layer", "nothing"})
    assert {path: len(calls) for path, calls in found.items()} == {
        "": 1,
        "blocks.1.stream": 2,
        "blocks.0.layer": 1,
    }
    with torch.no_grad():
        assert torch.equal(found[""][0], streams(frames))
        assert torch.equal(found[""][0], streams.head(found["blocks.1.stream"][1]))


@pytest.mark.parametrize("short", [True, False])
def test_half_of_a_sum_on_its_own_grid_is_exact_in_float_on_short_scales_only(
    short: bool,
    streams: Streams,
    frames: Any,
    tmp_path: Path,
) -> None:
    """Every odd sum is a tie; the executor and torch get it right when n·s is exact."""
    if short:
        shorten_scales(streams)
    path = tmp_path / "net.onnx"
    export_qonnx_file(streams, streams.input_shape, path)
    lowered = lower_with_affine(path)
    graph, codes = lowered.graph, frames(streams.input_shape, count=300)
    for level in (
        torch_level(deployed_network(streams, path), graph, codes),
        qonnx_level(path, graph, codes),
    ):
        verdict = judged(path, codes, level)
        assert (verdict.differences == []) is short
        assert verdict.wrong == 0
        assert all(one.distance == 0 for one in verdict.differences)


def test_shortening_moves_a_scale_by_less_than_anyone_sees(streams: Streams) -> None:
    before = streams.stream.act_quant.scale().item()
    shorten_scales(streams)
    after = streams.stream.act_quant.scale().item()
    assert 0 < abs(after - before) <= before * 2.0**-SIGNIFICANT_BITS
    assert (after * 2.0 ** (SIGNIFICANT_BITS + 4)).is_integer()


def test_export_leaves_the_trained_scales_alone(streams: Streams) -> None:
    before = streams.stream.act_quant.scale().item()
    assert freeze_batch_norm(streams).stream.act_quant.scale().item() == before


def test_short_values_stay_as_they_are() -> None:
    values = torch.tensor([2.0**-20, 0.75, 3.0, 4095 / 2**15])
    assert torch.equal(shortened(values), values)
    assert shortened(torch.tensor([1 / 3])).item() == np.round(2**13 / 3) / 2**13

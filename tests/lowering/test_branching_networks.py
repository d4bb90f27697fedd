"""Networks with branches: torch, the official executor, the reference and onnxruntime agree."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from judged import judged
from torch import nn

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.ir.integer_graph import (
    Add,
    ArgMax,
    Conv,
    Dense,
    GlobalSum,
    IntegerGraph,
    MaxPool,
    Threshold,
)
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.from_torch.trial import lower_untrained
from qdeploy.lowering.integers.lower import lower, lower_with_affine
from qdeploy.verify.float_levels import qonnx_level
from qdeploy.verify.rungs.torch import torch_level
from tests.support.branching_networks import BranchingNetwork, ResidualDense, Segmentation

NETWORKS: dict[str, Callable[[Any], Any]] = {
    "basic": lambda make: BranchingNetwork(make, "basic"),
    "preact": lambda make: BranchingNetwork(make, "preact", join_bits=8),
    "depthwise": lambda make: BranchingNetwork(make, "depthwise"),
    "dense": ResidualDense,
    "segmentation": Segmentation,
}


def frames_of(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Random frames that differ in brightness, so that averages over pixels differ too."""
    rng = np.random.default_rng(0)
    light = rng.uniform(0, 1, (count, 1, *([1] * (len(shape) - 1))))
    return (light * rng.integers(0, 256, (count, *shape))).astype(np.uint8)


def made(kind: str, scale: str, layers: Any, per_channel: bool = True) -> Any:
    """A network with random batch norm, negative and zero gains included, and spread codes."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = NETWORKS[kind](layers(scale, per_channel, 4, 3))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = None
                module.weight.data.uniform_(0.5, 1.5).mul_(torch.randn(module.num_features).sign())
                module.weight.data[-1] = 0.0
                nn.init.normal_(module.bias, 0, 0.3)
        with torch.no_grad():
            for _ in range(4):
                network.train()(torch.from_numpy(frames_of(network.input_shape, 16)) / 256.0)
        return network.eval()


def exported(network: Any, folder: Path) -> Path:
    path = folder / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    return path


def nodes_of(graph: IntegerGraph, layer: str) -> list[str]:
    """Kinds of the nodes of a block, in execution order."""
    return [type(n).__name__ for n in graph.nodes if n.layer.startswith(layer)]


@pytest.mark.parametrize("scale", ["float", "power_of_two"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_level_gives_the_same_codes_at_every_boundary(
    kind: str, scale: str, layers: Any, tmp_path: Path
) -> None:
    network = made(kind, scale, layers)
    path = exported(network, tmp_path)
    lowered = lower_with_affine(path)
    graph, codes = lowered.graph, frames_of(network.input_shape, count=24)
    expected = run_reference(graph, codes)
    assert len(np.unique(expected["logits"])) > 4
    assert sum(len(np.unique(values)) > 2 for values in expected.values()) > len(expected) / 2
    for level in (
        torch_level(deployed_network(network, path), graph, codes),
        qonnx_level(path, graph, codes),
    ):
        verdict = judged(path, codes, level)
        assert (verdict.differences, verdict.wrong) == ([], 0)
    emit_onnx(graph, tmp_path / "net.int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(tmp_path / "net.int.onnx", level=level).run(codes)
        assert list(simulated) == graph.boundaries()
        wrong = [name for name in expected if not np.array_equal(simulated[name], expected[name])]
        assert wrong == [], level


def test_a_basic_block_is_four_convolutions_codes_and_one_adder(
    layers: Any, tmp_path: Path
) -> None:
    graph = lower(exported(made("basic", "float", layers), tmp_path))
    kinds = nodes_of(graph, "body.1")
    assert sorted(kinds) == ["Add", *["Conv"] * 3, *["Threshold"] * 4]
    joined = next(node for node in graph.nodes if isinstance(node, Add) and node.layer == "body.1")
    assert sorted(joined.inputs) == ["body.1.join.code", "body.1.join.code_2"]
    assert joined.output == "body.1.sum" and joined.output not in graph.boundaries()
    fork = graph.consumers("body.0.act2.code")
    assert [type(node) for node in fork] == [Conv, Conv]
    head = graph.nodes[-2:]
    assert [type(node) for node in head] == [GlobalSum, Dense]
    assert head[0].output in graph.boundaries()
    pool = next(node for node in graph.nodes if isinstance(node, MaxPool))
    assert (pool.kernel, pool.stride, pool.pads) == ((3, 3), (2, 2), (1, 1, 1, 1))


def test_the_second_call_of_a_shared_quantizer_has_the_number_two(
    layers: Any, tmp_path: Path
) -> None:
    graph = lower(exported(made("basic", "float", layers), tmp_path))
    first, second = (graph.producer(f"body.0.join.code{end}") for end in ("", "_2"))
    assert first is not None and second is not None
    assert (first.name, second.name) == ("body.0.join.threshold", "body.0.join.threshold_2")
    assert first.layer == second.layer == "body.0.join"
    # The module quantizes the block's convolution first, the shortcut second.
    assert isinstance(graph.producer(first.inputs[0]), Conv)
    assert second.inputs == ("pool.code",)


def test_a_depthwise_convolution_keeps_its_groups_and_reads_signed_codes(
    layers: Any, tmp_path: Path
) -> None:
    graph = lower(exported(made("depthwise", "float", layers), tmp_path))
    node = next(n for n in graph.nodes if n.layer == "body.1.depthwise")
    assert isinstance(node, Conv) and node.groups == 11 and node.weights.shape == (11, 1, 3, 3)
    assert node.dilation == (2, 2) and node.stride == (2, 2)
    signed = graph.tensors[next(n for n in graph.nodes if n.layer == "body.1.expand").inputs[0]]
    assert signed.dtype.signed and signed.lo < 0


def test_batch_norm_with_negative_factors_on_codes_turns_them_in_a_depthwise_convolution(
    layers: Any, tmp_path: Path
) -> None:
    graph = lower(exported(made("preact", "float", layers), tmp_path))
    turns = [node for node in graph.nodes if isinstance(node, Conv) and node.name.endswith(".turn")]
    assert turns
    for node in turns:
        assert node.groups == len(node.weights)
        assert set(np.unique(node.weights)) == {-1, 1}
        assert [type(user) for user in graph.consumers(node.output)] == [Threshold]
        assert node.output not in graph.boundaries()


def test_logits_and_the_largest_one_are_given_for_every_pixel(layers: Any, tmp_path: Path) -> None:
    network = made("segmentation", "float", layers, per_channel=False)
    path = exported(network, tmp_path)
    graph, codes = lower(path, argmax=True), frames_of(network.input_shape, count=8)
    assert graph.tensors["logits"].shape == (3, 7, 5)
    assert graph.tensors["class"].shape == (1, 7, 5)
    assert isinstance(graph.nodes[-1], ArgMax)
    found = run_reference(graph, codes)
    assert np.array_equal(found["class"][:, 0], found["logits"].argmax(1))
    assert len(np.unique(found["class"])) > 1
    emit_onnx(graph, tmp_path / "class.onnx")
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(tmp_path / "class.onnx", level=level).run(codes)
        assert np.array_equal(simulated["class"], found["class"]), level
    wide = next(node for node in graph.nodes if node.layer == "wide")
    assert isinstance(wide, Conv) and wide.pads == (2, 3, 3, 2) and wide.dilation == (1, 2)
    assert np.array_equal(torch_level(network, graph, codes).codes["class"], found["class"])


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_with_branches_passes_the_early_check(kind: str, layers: Any) -> None:
    network = NETWORKS[kind](layers("float", False, 2, 2))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    lower_untrained(network)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())

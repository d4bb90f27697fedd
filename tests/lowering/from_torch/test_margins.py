"""Centred margins: the same integers, further from every edge."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from qdeploy.ir.integer_graph import Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.canonical.passes import Pass, PassResult, initializers
from qdeploy.lowering.from_torch import export as export_qonnx
from qdeploy.lowering.from_torch.export import deployed_network, export_qonnx_file
from qdeploy.lowering.from_torch.margins import CentreMargins
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower_model, lower_with_affine
from qdeploy.networks.calibrated import calibrated_random
from qdeploy.quant.thresholds import learned_segments
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.verify.float_levels import qonnx_level
from qdeploy.verify.rungs.torch import torch_level


class Nothing(Pass):
    """Leaves the margins as batch norm made them."""

    def call(self, model: object) -> PassResult:
        return PassResult(model, False)  # type: ignore[arg-type]


def smallest_margin(lowered: Lowered) -> Fraction:
    """Over both sides of every threshold that an accumulator can be on, in steps of the code."""
    margins = []
    for node in lowered.graph.nodes:
        if isinstance(node, Threshold):
            source, acc = lowered.affine[node.output], lowered.intervals[node.inputs[0]]
            for c, row in enumerate(node.thresholds):
                near = {n for t in row.tolist() for n in (t - 1, t)}
                for n in near & set(range(acc.lo[c], acc.hi[c] + 1)):
                    value = source.gain[c] * n + source.offset[c]
                    margins.append(source.quantizer.edge_distance(value))
    return min(margins)


def test_centring_keeps_every_threshold_and_widens_the_smallest_margin(
    make_network: Callable[..., nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_network("conv", "float", seed=2)
    centred, plain = tmp_path / "centred.onnx", tmp_path / "plain.onnx"
    export_qonnx_file(network, network.input_shape, centred)
    monkeypatch.setattr(export_qonnx, "CentreMargins", Nothing)
    export_qonnx_file(network, network.input_shape, plain)
    after, before = lower_with_affine(centred), lower_with_affine(plain)
    for left, right in zip(after.graph.nodes, before.graph.nodes, strict=True):
        if isinstance(left, Threshold) and isinstance(right, Threshold):
            assert np.array_equal(left.thresholds, right.thresholds)
    assert smallest_margin(after) > 4 * smallest_margin(before)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_the_deployed_network_and_the_file_give_the_integers_without_exception(
    kind: str,
    make_network: Callable[..., nn.Module],
    frames: Callable[..., np.ndarray],
    tmp_path: Path,
) -> None:
    for seed in range(2):
        network = make_network(kind, "float", seed=seed)
        path = tmp_path / f"{seed}.onnx"
        export_qonnx_file(network, network.input_shape, path)
        graph, codes = lower_with_affine(path).graph, frames(network.input_shape, count=200)
        expected = run_reference(graph, codes)
        deployed = deployed_network(network, path)
        for found in (
            torch_level(deployed, graph, codes).codes,
            qonnx_level(path, graph, codes).codes,
        ):
            for name in graph.boundaries()[:-1]:
                assert np.array_equal(found[name], expected[name])


def test_learned_thresholds_are_centred_like_uniform_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(
        resource("models/quickstart/digits_fcdnn_w2a2.yaml"),
        ["quantization.activation_thresholds=learned", "network.width=24"],
    )
    network = calibrated_random(recipe)
    with torch.no_grad():
        for one in learned_segments(network):
            one.start.sub_(0.1)
            one.lengths.mul_(torch.tensor([0.6, 1.1, 1.7]))
    centred, plain = tmp_path / "centred.onnx", tmp_path / "plain.onnx"
    export_qonnx_file(network, network.input_shape, centred)
    monkeypatch.setattr(export_qonnx, "CentreMargins", Nothing)
    export_qonnx_file(network, network.input_shape, plain)
    after, before = lower_with_affine(centred), lower_with_affine(plain)
    tables = [
        [node.thresholds for node in lowered.graph.nodes if isinstance(node, Threshold)]
        for lowered in (after, before)
    ]
    assert len(tables[0]) == 3
    assert all(np.array_equal(one, other) for one, other in zip(*tables, strict=True))
    assert smallest_margin(after) > 4 * smallest_margin(before)


def test_centring_twice_changes_next_to_nothing(
    make_network: Callable[..., nn.Module], tmp_path: Path
) -> None:
    network = make_network("dense")
    path = tmp_path / "net.onnx"
    export_qonnx_file(network, network.input_shape, path)
    once = canonical(path)
    twice = CentreMargins()(once, probe=False).model
    first, second = (smallest_margin(lower_model(model)) for model in (once, twice))
    assert abs(first - second) < Fraction(1, 10**6)


@pytest.mark.parametrize("quantizers", [1, 2])
def test_a_bias_that_two_quantizers_read_stays(
    quantizers: int, write_qonnx: Callable[..., Path], quant_node: Callable[..., onnx.NodeProto]
) -> None:
    """What centres the one would move the thresholds of the other."""
    constants = {
        "zero": np.float32(0),
        "four": np.float32(4),
        "eight": np.float32(8),
        "byte": np.float32(1 / 256),
        "grid": np.float32(0.1),
        "other": np.float32(0.03),
        "double": np.float32(0.06),
        "weights": (np.arange(-8, 8).reshape(4, 4) / 10).astype(np.float32),
        "bias": np.array([0.013, -0.2, 0.11, 0.3], np.float32),
    }
    nodes = [
        quant_node("x", "xq", "byte", "eight", signed=0),
        quant_node("weights", "wq", "grid", "four"),
        helper.make_node("MatMul", ["xq", "wq"], ["product"], "matmul"),
        helper.make_node("Add", ["product", "bias"], ["moved"], "bias"),
        quant_node("moved", "a", "grid", "four"),
        quant_node("moved" if quantizers == 2 else "a", "b", "other", "four"),
        quant_node("a", "c", "double", "four"),
        helper.make_node("Add", ["b", "c"], ["out"], "join"),
    ]
    model = canonical(write_qonnx(nodes, constants, (1, 4), (1, 4)))
    after = initializers(CentreMargins()(model).model)["bias"]
    assert np.array_equal(after, constants["bias"]) is (quantizers == 2)

"""torch, the official qonnx executor, the reference and onnxruntime give the same integers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from judged import judged
from torch import nn

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import OPTIMIZATION_LEVELS, IntSimulator
from qdeploy.ir.integer_graph import Bias
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.from_torch.export import export_qonnx_file
from qdeploy.lowering.integers.lower import lower, lower_with_affine
from qdeploy.verify.float_levels import (
    FloatLevel,
    all_scales_are_powers_of_two,
    qonnx_level,
)
from qdeploy.verify.rungs.torch import torch_level

Make = Callable[..., nn.Module]
Frames = Callable[..., np.ndarray]
KINDS = [
    (kind, scale, per_channel)
    for kind in ("conv", "dense")
    for scale in ("float", "power_of_two")
    for per_channel in (False, True)
]


@pytest.mark.parametrize(("kind", "scale", "per_channel"), KINDS)
def test_all_levels_give_the_same_codes_at_every_boundary(
    kind: str, scale: str, per_channel: bool, make_network: Make, frames: Frames, tmp_path: Path
) -> None:
    network = make_network(kind, scale, per_channel, weight_bits=3)
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    lowered = lower_with_affine(path)
    graph, codes = lowered.graph, frames(network.input_shape)
    expected = run_reference(graph, codes)
    assert len(graph.boundaries()) == (4 if kind == "conv" else 3)
    assert len(np.unique(expected["logits"])) > 4
    for level in (torch_level(network, graph, codes), qonnx_level(path, graph, codes)):
        verdict = judged(path, codes, level)
        assert verdict.wrong == 0, verdict
        assert len(verdict.differences) <= (0 if scale == "power_of_two" else 1)
    emit_onnx(graph, tmp_path / "net.int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(tmp_path / "net.int.onnx", level=level).run(codes)
        assert list(simulated) == graph.boundaries()
        for name, values in simulated.items():
            assert values.dtype == np.int32
            assert np.array_equal(values, expected[name]), (level, name)


@pytest.mark.parametrize("act_bits", [1, 3, 4, 8])
@pytest.mark.parametrize("scale", ["float", "power_of_two"])
def test_wide_and_narrow_activations_agree(
    act_bits: int, scale: str, make_network: Make, frames: Frames, tmp_path: Path
) -> None:
    network = make_network("conv", scale, False, weight_bits=4, act_bits=act_bits, seed=3)
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    graph, codes = lower(path), frames(network.input_shape)
    expected = run_reference(graph, codes)
    emit_onnx(graph, tmp_path / "net.int.onnx", taps=True)
    for level in OPTIMIZATION_LEVELS:
        simulated = IntSimulator(tmp_path / "net.int.onnx", level=level).run(codes)
        assert all(np.array_equal(simulated[name], expected[name]) for name in expected), level
    found = torch_level(network, graph, codes).codes
    assert sum(int((found[k] != expected[k]).sum()) for k in list(found)[:-1]) <= 2


def test_a_bias_of_the_head_is_in_the_logits_exactly(
    make_network: Make, frames: Frames, tmp_path: Path
) -> None:
    network = make_network("conv", "power_of_two")
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    lowered = lower_with_affine(path)
    codes = frames(network.input_shape)
    assert not any(isinstance(node, Bias) for node in lowered.graph.nodes)
    assert any(lowered.graph.head.offset)
    assert len(lowered.notes) == 1 and "`head`: its logits have a bias" in lowered.notes[0]
    with torch.no_grad():
        logits = network(torch.from_numpy(codes) / 256.0).numpy()
    found = run_reference(lowered.graph, codes)["logits"]
    assert np.abs(lowered.graph.head.values(found) - logits).max() <= 1e-5 * np.abs(logits).max()


def test_argmax_gives_the_lowest_index_of_the_largest_logit(
    make_network: Make, frames: Frames, tmp_path: Path
) -> None:
    network = make_network("dense")
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    graph, codes = lower(path, argmax=True), frames(network.input_shape)
    emit_onnx(graph, tmp_path / "net.int.onnx")
    found = IntSimulator(tmp_path / "net.int.onnx").run(codes)
    assert list(found) == ["class"] and found["class"].dtype == np.int64
    logits = run_reference(lower(path), codes)["logits"]
    assert np.array_equal(found["class"][:, 0], logits.argmax(1))
    assert np.array_equal(run_reference(graph, codes)["class"], found["class"])
    assert np.array_equal(torch_level(network, graph, codes).codes["class"], found["class"])


def test_a_moved_code_and_moved_logits_are_no_ties(
    make_network: Make, frames: Frames, tmp_path: Path
) -> None:
    network = make_network("conv")
    path = tmp_path / "net.qonnx.onnx"
    export_qonnx_file(network, network.input_shape, path)
    lowered, codes = lower_with_affine(path), frames(network.input_shape, count=4)
    found = run_reference(lowered.graph, codes)
    found["act1.code"][2, 1, 3, 3] += 1
    found["logits"][2, 0] += 1
    found["logits"][3, 0] += 1
    logits = lowered.graph.head.values(found["logits"])
    verdict = judged(path, codes, FloatLevel(found, logits))
    first, *later = verdict.differences
    assert (first.boundary, first.index) == ("act1.code", (2, 1, 3, 3))
    assert first.exact_agrees and not first.is_tie
    # What the moved code changes in the layers after it was not changed: they differ too.
    assert later and {one.index[0] for one in later} == {2}
    # Frame 2 is off by a step too, whatever the moved code makes of it; the others are exact.
    assert verdict.wrong_logits >= 2


def test_scales_that_are_powers_of_two_are_recognized(make_network: Make, tmp_path: Path) -> None:
    for scale, expected in (("float", False), ("power_of_two", True)):
        network = make_network("dense", scale)
        path = tmp_path / f"{scale}.onnx"
        export_qonnx_file(network, network.input_shape, path)
        assert all_scales_are_powers_of_two(lower(path)) is expected

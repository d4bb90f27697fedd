"""Exact arithmetic decides: ties pass, wrong integers and wrong engines do not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from random_qonnx import QonnxMaker, Weights

from qdeploy.ir.integer_graph import Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.executor import infer_shapes
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.verify.exact import ExactFile
from qdeploy.verify.exact_elements import Given
from qdeploy.verify.float_levels import qonnx_level
from qdeploy.verify.judge import Verdict, judge


def small(tmp_path: Path, seed: int, *, bias: bool = False, per_channel: bool = False) -> Path:
    """Two layers whose scales are no powers of two, and a 2-bit head."""
    maker = QonnxMaker(seed, (3, 5, 4))
    maker.conv(7, (3, 3), pads=(1, 1, 1, 1), weights=Weights(3)).norm().relu().act(2)
    maker.flatten().dense(5, Weights(2, per_channel=per_channel), gemm=bias)
    return maker.save(tmp_path / f"{seed}.onnx")


def parts(path: Path, frames: int = 40) -> tuple[Lowered, object, np.ndarray]:
    model = infer_shapes(canonical(path, probe=False))
    lowered = lower_model(model)
    shape = lowered.graph.tensors[lowered.graph.input].shape
    codes = np.random.default_rng(1).integers(0, 256, (frames, *shape))
    return lowered, model, codes


def verdict_of(path: Path, lowered: Lowered, model: object, codes: np.ndarray) -> Verdict:
    """The official executor against the integers of `lowered`."""
    level = qonnx_level(path, lowered.graph, codes)
    reference = run_reference(lowered.graph, codes)
    return judge(lowered, model, codes, reference, level.codes, level.logits)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bias", [False, True])
def test_exact_elements_are_what_the_lowering_derived(
    seed: int, bias: bool, tmp_path: Path
) -> None:
    """The judge reads the file by itself; both come to the same fractions."""
    lowered, model, codes = parts(small(tmp_path, seed, bias=bias), 3)
    graph = lowered.graph
    tensors = run_reference(graph, codes, accumulators=True)
    given = {
        lowered.sources[name]: Given(tensors[name], graph.tensors[name].scale or Fraction(1))
        for name in (graph.input, *lowered.affine)
    }
    file = ExactFile(model, given)
    for name, source in lowered.affine.items():
        node = graph.producer(name)
        assert node is not None
        sums = tensors[node.inputs[0]]
        places = np.argwhere(np.ones_like(sums))[::17]
        found = file.before_quantizer(lowered.sources[name], places)
        for place, value in zip(places, found.value, strict=True):
            gain, offset = (
                part[place[1] if len(part) > 1 else 0] for part in (source.gain, source.offset)
            )
            # The ReLU before the quantizer is in the codes: their lowest is 0.
            assert value == max(gain * int(sums[tuple(place)]) + offset, 0)
    logits = np.argwhere(np.ones_like(tensors["logits"]))
    for place, value in zip(
        logits, file.elements(lowered.sources["logits"], logits).value, strict=True
    ):
        gain, offset = graph.head.of(int(place[1]))
        assert value == gain * int(tensors["logits"][tuple(place)]) + offset


@pytest.mark.parametrize("seed", range(4))
def test_a_right_network_is_never_wrong(seed: int, tmp_path: Path) -> None:
    for bias, per_channel in ((False, False), (True, False), (True, True)):
        path = small(tmp_path, seed, bias=bias, per_channel=per_channel)
        verdict = verdict_of(path, *parts(path))
        assert verdict.wrong == 0, verdict


def test_a_threshold_off_by_one_is_wrong_even_where_the_engine_agrees_nearly(
    tmp_path: Path,
) -> None:
    path = small(tmp_path, 0)
    lowered, model, codes = parts(path, 200)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    interval = lowered.intervals[node.inputs[0]]
    table = node.thresholds.copy()
    inside = (table > np.array(interval.lo)[:, None]) & (table < np.array(interval.hi)[:, None])
    channel, level = np.argwhere(inside)[0]
    table[channel, level:] = np.maximum(table[channel, level:], table[channel, level] + 1)
    nodes = tuple(replace(n, thresholds=table) if n is node else n for n in lowered.graph.nodes)
    broken = replace(lowered, graph=replace(lowered.graph, nodes=nodes))
    verdict = verdict_of(path, broken, model, codes)
    assert verdict.wrong > 0
    assert any(not one.exact_agrees for one in verdict.differences)


def test_a_head_with_a_rounded_bias_is_wrong(tmp_path: Path) -> None:
    path = small(tmp_path, 3, bias=True)
    lowered, model, codes = parts(path)
    head = lowered.graph.head
    scale = head.gain[0]
    rounded = replace(head, offset=tuple(round(o / scale) * scale for o in head.offset))
    assert rounded != head
    broken = replace(lowered, graph=replace(lowered.graph, head=rounded))
    assert verdict_of(path, broken, model, codes).wrong_logits > 0


def test_an_engine_that_is_further_off_than_float32_is_wrong(tmp_path: Path) -> None:
    path = small(tmp_path, 1)
    lowered, model, codes = parts(path)
    level = qonnx_level(path, lowered.graph, codes)
    reference = run_reference(lowered.graph, codes)
    assert level.logits is not None
    off = level.logits * np.float32(1 + 1e-3)
    verdict = judge(lowered, model, codes, reference, level.codes, off)
    assert verdict.wrong_logits > 0 and verdict.worst_logit > 1

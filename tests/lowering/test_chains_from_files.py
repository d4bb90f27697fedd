"""What may stand before a quantizer, behind a sum, in any order: exact in the official executor.

Scales and constants are powers of two or short sums of them, so that float32 is exact and every tie
has to fall alike; for curves, and where `ties` says so, exact arithmetic judges.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged import judged
from small_file import SmallFile, check_file

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import Conv, MaxPool, Threshold
from qdeploy.lowering.integers.lower import lower
from qdeploy.verify.float_levels import qonnx_level

SHAPE = (3, 6, 5)
STEPS = {
    "relu": lambda f, t: f.op("Relu", t),
    "relu6": lambda f, t: f.op("Clip", t, f.const(0), f.const(3)),
    "hardtanh": lambda f, t: f.op("Clip", t, f.const(-1), f.const(0.75)),
    "at most": lambda f, t: f.op("Clip", t, "", f.const(2.5)),
    "leaky": lambda f, t: f.op("LeakyRelu", t, alpha=0.25),
    "prelu": lambda f, t: f.op("PRelu", t, f.const(np.array([1, 0.5, 0.25, 2]).reshape(4, 1, 1))),
    "hard sigmoid": lambda f, t: f.op("HardSigmoid", t, alpha=0.25, beta=0.5),
    "norm": lambda f, t: f.op(
        "Add",
        f.op("Mul", t, f.const(np.array([0.5, -1, 2, -0.25]).reshape(1, 4, 1, 1))),
        f.const(np.array([0, 0.125, -1, 0.5]).reshape(1, 4, 1, 1)),
    ),
    "negated": lambda f, t: f.op("Neg", t),
    "bias": lambda f, t: f.op("Add", t, f.const(0.375)),
    "zero in a channel": lambda f, t: f.op(
        "Mul", t, f.const(np.array([1, 0, 1, -1]).reshape(1, 4, 1, 1))
    ),
    "pool": lambda f, t: f.op("MaxPool", t, kernel_shape=[2, 2], strides=[1, 1], pads=[1, 1, 0, 0]),
}


def chain(file: SmallFile, names: list[str], start: str) -> str:
    for name in names:
        start = STEPS[name](file, start)
    return start


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6),
    signed=st.booleans(),
    bits=st.integers(2, 6),
    codes=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_chain_of_steps_is_exact(
    names: list[str], signed: bool, bits: int, codes: bool, seed: int, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, seed)
    start = file.conv(file.codes, (4, 3, 3, 3), pad=1)
    if codes:
        start = file.quant(start, 0.5, 4)
    last = file.quant(chain(file, names, start), 0.25, bits, int(signed))
    end = file.conv(last, (3, 4, 3, 3), pad=1)
    try:
        check_file(file.save(tmp_path / "file.onnx", end, SHAPE), tmp_path, frames=12, dull=True)
    except UnsupportedLayerError as refused:
        # The one chain that is not: first a maximum, then a minimum.
        assert names.count("pool") > 1 and "between two max-pools" in str(refused)


@pytest.mark.parametrize("kind", ["Sigmoid", "Tanh"])
@pytest.mark.parametrize("bits", [3, 8])
@pytest.mark.parametrize("before", [[], ["norm"], ["relu"]])
def test_curves_are_exact_real_functions(
    kind: str, bits: int, before: list[str], tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 4)
    sums = chain(file, before, file.conv(file.codes, (4, 3, 3, 3), pad=1))
    curved = file.op("Mul", file.op(kind, sums), file.const(0.75))
    codes = file.quant(curved, 2.0 ** (1 - bits), bits, int(kind == "Tanh"))
    end = file.conv(codes, (3, 4, 1, 1))
    lowered = check_file(file.save(tmp_path / "f.onnx", end, SHAPE), tmp_path, ties=True)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    assert (np.diff(node.thresholds, axis=1) >= 0).all()


def test_a_sum_on_the_middle_of_a_curve_is_a_tie_that_is_decided(tmp_path: Path) -> None:
    """sigmoid(0) is 1/2 exactly, half a step of 1: the tie goes to the even code 0."""
    file = SmallFile((1, 2, 2), 1)
    weights = file.quant(file.const(np.full((1, 1, 1, 1), 0.25)), 0.25, 3)
    sums = file.op("Conv", file.codes, weights)
    curve = file.op("Sigmoid", file.op("Add", sums, file.const(-0.125)))
    path = file.save(tmp_path / "f.onnx", file.quant(curve, 1.0, 2, 0), (1, 2, 2))
    lowered = check_file(path, tmp_path)
    node = next(n for n in lowered.graph.nodes if isinstance(n, Threshold))
    # 0.25·n/256 - 0.125 > 0 from n = 129 on; codes 2 and 3 are out of reach of a sigmoid.
    assert node.thresholds.tolist() == [[129, 256, 256]]


def test_a_max_pool_before_the_quantizer_comes_after_it(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 2)
    sums = chain(file, ["pool", "norm", "relu"], file.conv(file.codes, (4, 3, 3, 3), pad=1))
    end = file.conv(file.quant(sums, 0.25, 3, 0), (3, 4, 3, 3), pad=1)
    lowered = check_file(file.save(tmp_path / "f.onnx", end, SHAPE), tmp_path)
    kinds = [type(node) for node in lowered.graph.nodes]
    assert kinds == [Conv, Threshold, MaxPool, Conv]
    codes = lowered.graph.tensors[lowered.graph.nodes[1].output]
    # Channels whose factor is negative after the pool have codes of the other sign.
    assert lowered.affine[codes.name].mirrored == {1, 3} and codes.lo < 0 < codes.hi
    assert codes.name not in lowered.sources


@pytest.mark.parametrize("step", ["relu", "leaky", "relu6", "negated"])
def test_steps_between_codes_and_a_layer_become_codes(step: str, tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 3)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.5, 4)
    end = file.conv(chain(file, [step], codes), (3, 4, 3, 3), pad=1)
    lowered = check_file(file.save(tmp_path / "f.onnx", end, SHAPE), tmp_path)
    assert sum(isinstance(node, Threshold) for node in lowered.graph.nodes) == 1


@pytest.mark.parametrize("read_again", [False, True])
def test_quantizers_behind_quantizers_are_one_table_if_nothing_else_reads_the_first(
    read_again: bool, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 4)
    first = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.25, 5)
    second = file.quant(chain(file, ["bias", "relu6"], first), 0.5, 3, 0, rounding="FLOOR")
    third = file.quant(file.op("Add", second, file.const(-1)), 0.75, 3)
    end = file.conv(third, (3, 4, 3, 3), pad=1)
    if read_again:
        end = file.op(
            "Add", file.quant(end, 0.5, 5), file.quant(file.conv(first, (3, 4, 1, 1)), 0.5, 5)
        )
    lowered = check_file(file.save(tmp_path / "f.onnx", end, SHAPE), tmp_path)
    tables = [node for node in lowered.graph.nodes if isinstance(node, Threshold)]
    assert len(tables) == (4 if read_again else 1)


def test_float32_ties_of_a_quantizer_inside_a_table_are_judged_as_ties(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 5)
    step = np.float32(0.1)
    sums = file.op("Mul", file.conv(file.codes, (4, 3, 3, 3), pad=1), file.const(step * 64))
    first = file.quant(sums, step * 2, 6)
    clipped = file.op("Clip", first, file.const(-step * 6), file.const(step * 60))
    again = file.quant(file.op("Relu", first), step * 4, 5, 0)
    for codes in (clipped, again):
        end = file.conv(codes, (3, 4, 3, 3), pad=1)
        path = file.save(tmp_path / "f.onnx", end, SHAPE)
        lowered = check_file(path, tmp_path, ties=True)
        assert [type(node) for node in lowered.graph.nodes] == [Conv, Threshold, Conv]
        frames = np.random.default_rng(2).integers(0, 256, (60, *SHAPE))
        verdict = judged(path, frames, qonnx_level(path, lowered.graph, frames))
        assert verdict.ties and not verdict.wrong


def test_a_curve_between_codes_and_a_layer_is_refused(tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 3)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), 0.5, 4)
    end = file.conv(file.op("Sigmoid", codes), (3, 4, 1, 1))
    with pytest.raises(UnsupportedLayerError, match="lie on no common grid") as caught:
        lower(file.save(tmp_path / "f.onnx", end, SHAPE))
    assert caught.value.do is not None and "behind the last" in caught.value.do


@pytest.mark.parametrize("scale", [0.25, 2.0**-3 * 3])
def test_padding_of_codes_with_an_offset_is_exact(scale: float, tmp_path: Path) -> None:
    file = SmallFile(SHAPE, 3)
    codes = file.quant(file.conv(file.codes, (4, 3, 3, 3), pad=1), scale, 4)
    end = file.conv(file.op("Add", codes, file.const(0.5)), (3, 4, 3, 3), pad=1)
    check_file(file.save(tmp_path / "f.onnx", end, SHAPE), tmp_path)

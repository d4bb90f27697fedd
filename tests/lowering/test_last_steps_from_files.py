"""Networks that end in steps without a quantizer, as in a ReLU: integers of the steps' values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from judged import judged
from small_file import SmallFile, check_file

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import ArgMax, Threshold
from qdeploy.lowering.integers.lower import lower, lower_with_affine
from qdeploy.verify.float_levels import qonnx_level

SHAPE = (3, 6, 5)
ENDS = {
    "ReLU": lambda f, y: f.op("Relu", y),
    "ReLU6": lambda f, y: f.op("Clip", y, f.const(0), f.const(6)),
    "LeakyReLU": lambda f, y: f.op("LeakyRelu", y, alpha=0.5),
    "negated ReLU": lambda f, y: f.op("Neg", f.op("Relu", y)),
    "ReLU of whole steps more": lambda f, y: f.op("Relu", f.op("Add", y, f.const(-0.25))),
    "ReLU of scales": lambda f, y: f.op("Relu", f.op("Mul", y, f.const([1, 0.5, -2, 0.7, 1]))),
}


def network(end: str, folder: Path, scale: float = 0.25) -> Path:
    file = SmallFile(SHAPE, 2)
    codes = file.quant(file.conv(file.codes, (2, 3, 3, 3)), scale, 3)
    flat = file.op("Flatten", codes)
    return file.save(folder / "file.onnx", ENDS[end](file, file.dense(flat, 24, 5)), (5,))


@pytest.mark.parametrize(
    ("end", "scale"),
    [
        (end, scale)
        for end in sorted(ENDS)
        for scale in (0.25, 0.3)
        # The term and the limit are whole numbers of steps of one of the scales only.
        if scale == 0.25 or end not in ("ReLU of whole steps more", "ReLU6")
    ],
)
def test_the_last_values_are_integers(end: str, scale: float, tmp_path: Path) -> None:
    path = network(end, tmp_path, scale)
    lowered = check_file(path, tmp_path, ties=True)
    graph = lowered.graph
    assert isinstance(graph.producer("logits"), Threshold)
    frames = np.random.default_rng(3).integers(0, 256, (30, *SHAPE))
    level = qonnx_level(path, graph, frames)
    verdict = judged(path, frames, level)
    assert not verdict.wrong
    # A logit that is off by one step is seen.
    assert level.logits is not None
    level.logits[0, 0] += abs(float(graph.head.of(0)[0]))
    assert judged(path, frames, level).wrong


def test_the_class_of_the_last_values_is_found_in_hardware_too(tmp_path: Path) -> None:
    graph = lower(network("ReLU", tmp_path), argmax=True)
    assert isinstance(graph.producer(graph.output), ArgMax)


@pytest.mark.parametrize(
    ("bias", "said"),
    [(0.1, "no whole number of steps"), (np.arange(5) / 7, "no whole number of steps")],
)
def test_a_relu_that_moves_zero_between_two_steps_is_refused(
    bias: object, said: str, tmp_path: Path
) -> None:
    file = SmallFile(SHAPE, 2)
    codes = file.quant(file.conv(file.codes, (2, 3, 3, 3)), 0.25, 3)
    sums = file.op("Add", file.dense(file.op("Flatten", codes), 24, 5), file.const(bias))
    path = file.save(tmp_path / "file.onnx", file.op("Relu", sums), (5,))
    with pytest.raises(UnsupportedLayerError) as error:
        lower_with_affine(path)
    assert said in str(error.value)

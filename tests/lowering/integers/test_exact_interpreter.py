"""Exact arithmetic on the original file, by code of its own, gives the integer graph's logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dialect_check import check
from dialects import by_hand
from draw_networks import RandomDraw, draw_network

from qdeploy.errors import QDeployError

TAKEN = (
    "file/domain onnx.brevitas",
    "file/Reshape chain",
    "file/unsorted nodes",
    "file/float64 constants",
    "file/weights per channel",
    "file/weights bipolar",
    "quantizer/scale 0.1",
    "quantizer/8 bits signed",
    "input/2x - 1",
    "input/mean and deviation",
    "input/signed 5 bits",
    "input/rows, columns, channels, then codes",
    "layer/Gemm transB",
    "layer/Pad as an input",
    "layer/GlobalAveragePool",
    "layer/Add of scales without a ratio",
    "layer/max-pool with ceil_mode",
    "sequence/separable, residual",
    "sequence/shared linear layers",
    "sequence/length, channels",
    "layer/head: batch norm of negative factors",
    "layer/head: scale per class",
    "layer/head: Softmax",
    "layer/Trunc to 4 bits, FLOOR",
    "layer/Trunc to 4 bits, ROUND",
    "layer/Trunc to 4 bits, CEIL",
    "layer/Trunc to 2 bits, FLOOR",
    "layer/head: ReLU",
    "finn/weights annotated BIPOLAR that are not",
    "finn/MultiThreshold",
    "finn/one row of thresholds",
    "finn/thresholds that are not integers",
    "finn/equal thresholds",
    "finn/out_scale",
    "finn/out_scale and out_bias",
    "finn/out_bias of half a step",
    "finn/bipolar",
    "finn/one threshold",
    "finn/15 thresholds",
    "finn/MultiThreshold as input quantizer",
)


@pytest.mark.parametrize("seed", range(22))
def test_exact_arithmetic_on_random_files_gives_every_logit(seed: int, tmp_path: Path) -> None:
    network = draw_network(RandomDraw(np.random.default_rng(4000 + seed)), 4000 + seed)
    found = check(network.save(tmp_path / "network.onnx"), frames=2)
    assert (found.exact, found.classes) == (0, 0), found.note


@pytest.mark.parametrize("name", TAKEN)
def test_exact_arithmetic_on_other_dialects_gives_every_logit(name: str, tmp_path: Path) -> None:
    dialect = next(one for one in by_hand() if one.name == name)
    dialect.write(tmp_path / "network.onnx")
    try:
        found = check(tmp_path / "network.onnx", dialect.raw, frames=2)
    except QDeployError as error:
        pytest.fail(f"{name} is refused: {error}")
    assert (found.exact, found.classes) == (0, 0), found.note

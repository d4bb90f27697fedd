"""Measured values with a scaling of few signed codes, through every level to the board."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import pytest
from real_values import scaling_of, trained_on_series, values_of

import qdeploy
from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.ir.file import read_graph

OPTIONS = {"frames": 24, "rtl_frames": 8, "fps": 50_000.0, "synthesis": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_on_series(tmp_path_factory.mktemp("strokes"))


def test_measured_values_are_exact_in_integers_and_rtl(trained: Path, tmp_path: Path) -> None:
    made = build(Options(trained, data=trained.parent, **OPTIONS), tmp_path / "built")
    assert made.failure is None
    ran = {rung.name: rung.mismatches for rung in made.rungs if rung.skipped is None}
    assert ran == dict.fromkeys(
        ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl"), 0
    )
    graph = read_graph(made.folder / "model.graph.safetensors")
    tensor = graph.tensors[graph.input]
    assert (tensor.lo, tensor.hi) == (-16, 15)
    x = values_of(trained)
    wanted = scaling_of(trained).codes(x[:, :, None])
    assert np.array_equal(graph.prepared.codes(x[:, :, None]), wanted)
    assert np.array_equal(
        qdeploy.load(made.folder, "int").run(x), qdeploy.load(made.folder, "rtl").run(x)
    )
    record = json.loads((made.folder / "package" / "bundle.json").read_text())["input"]
    assert (record["range"], record["raw_range"], record["shift"]) == ([-16, 15], [-16, 15], 0)


@pytest.mark.slow
def test_measured_values_are_exact_on_the_board(
    trained: Path, tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    made = build(Options(trained, data=trained.parent, **OPTIONS), tmp_path / "built")
    package, x = made.folder / "package", values_of(trained)[:, :, None]
    board = fake_board.stand_in(package, tmp_path / "model")
    with load_driver(package, board).Accelerator(max_batch=8) as accelerator:
        assert accelerator.selftest()["passed"]
        found = accelerator.infer(x, from_float=True)
    board.close()
    np.testing.assert_array_equal(found, qdeploy.load(made.folder).run(x))

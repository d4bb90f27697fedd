"""Files that compute with their input before its first quantizer: the driver does it as well."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import pytest
from input_files import InputFile

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.lowering.canonical.executor import execute
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.verify.frames import load_frames

SHAPE = (4, 5, 3)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["uint8:1/64", None])
def test_the_driver_does_what_the_file_does_before_its_first_codes(
    option: str | None, tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    file = InputFile(SHAPE).op("Sub", [1.0, -2.0, 3.0]).op("Mul", [1.5, -0.5, 1.0])
    file = file.op("Transpose", perm=[0, 3, 1, 2]).quant(0.3, 4)
    path = file.done(tmp_path / "network.onnx", (3, 4, 5))
    options = Options(path, frames=30, rtl_frames=20, fps=50_000.0, synthesis=False, input=option)
    made = build(options, tmp_path / "built")
    assert made.failure is None
    ran = {rung.name for rung in made.rungs if rung.skipped is None}
    assert {"qonnx", "rtl"} <= ran
    assert verify(made.folder, package=True, skip=("rtl", "dataflow")).failure is None
    frames, package = load_frames(made.folder), made.folder / "package"
    said = json.loads((package / "bundle.json").read_text())["input"]
    low, high = (0, 255) if option else (-8, 7)
    assert (said["data_shape"], said["raw_range"]) == ([*SHAPE], [low, high])
    assert said["raw_type"] == ("uint8" if option else None)
    board = fake_board.stand_in(package, tmp_path / "model")
    x = np.random.default_rng(3).uniform(-4, 6, (12, *SHAPE)).astype(np.float32)
    if option:
        x[:6] = frames.raw[:6].astype(np.float32) / 64
    with load_driver(package, board).Accelerator(max_batch=8) as accelerator:
        assert accelerator.selftest()["passed"]
        logits = accelerator.infer(x, from_float=True)
        of_integers = accelerator.infer(frames.raw)
        for wrong, message in (
            (np.full(SHAPE, np.nan), "not finite"),
            (np.full(SHAPE, 1e39), "not finite"),
            (np.full((3, 4, 5), 0.5), "must have shape"),
        ):
            with pytest.raises(ValueError, match=message):
                accelerator.infer(wrong, from_float=True)
        with pytest.raises(ValueError, match=f"from {low} to {high}"):
            accelerator.infer(np.full(SHAPE, high + 1))
    board.close()
    # The float executor's logits are the driver's, but for codes on an edge between two.
    expected = execute(canonical(path, probe=False), x)["logits"]
    assert np.isclose(logits, expected, atol=1e-4).mean() > 0.9
    if option:
        np.testing.assert_array_equal(of_integers[:6], logits[:6])
    assert len(np.unique(logits)) > 10

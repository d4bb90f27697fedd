"""Files whose input is signed or wider than a byte: from the file to the stand-in board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import pytest
from random_qonnx import QonnxMaker

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.verify.frames import load_frames


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bits", "signed"), [(2, True), (5, True), (16, True), (12, False)], ids=str
)
def test_a_file_with_such_an_input_is_exact_down_to_the_board(
    bits: int, signed: bool, tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    maker = QonnxMaker(bits, (2, 5, 4), bits, signed=signed).conv(3).norm().relu().act(bits=3)
    path = maker.flatten().dense(4).save(tmp_path / "network.onnx")
    options = Options(path, frames=40, rtl_frames=24, fps=50_000.0, synthesis=False)
    made = build(options, tmp_path / "built")
    ran = {rung.name: rung.mismatches for rung in made.rungs if rung.skipped is None}
    assert made.failure is None
    assert ran == dict.fromkeys(("qonnx", "int", "dataflow", "memories", "layer", "rtl"), 0)
    frames = load_frames(made.folder)
    lowest = -(2 ** (bits - 1)) if signed else 0
    assert frames.codes.min() < lowest + 2 ** (bits - 2)
    expected = IntSimulator(made.folder / "model.int.onnx").run(frames.codes)["logits"]
    board = fake_board.stand_in(made.folder / "package", tmp_path / "model")
    with load_driver(made.folder / "package", board).Accelerator(max_batch=8) as accelerator:
        report = accelerator.selftest()
        assert report["passed"], report
        np.testing.assert_array_equal(accelerator.infer_codes(frames.codes), expected)
        values = frames.codes * 2.0**-bits
        found = accelerator.infer_codes(values, from_float=True)
        np.testing.assert_array_equal(found, expected)
        assert accelerator.throughput(frames=16, repeat=1)["frames"] == 16
        with pytest.raises(ValueError, match=f"from {lowest} to"):
            accelerator.infer_codes(np.full((2, 5, 4), lowest - 1))
    board.close()

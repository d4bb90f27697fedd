"""A trained network's package on the stand-in board: the last rung but the FPGA itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import pytest
from tiny_runs import train_tiny

from qdeploy.targets.build import build
from qdeploy.targets.frames import load_frames
from qdeploy.targets.options import Options


@pytest.mark.slow
@pytest.mark.parametrize("argmax", [False, True], ids=["logits", "class"])
def test_a_trained_networks_package_passes_its_selftest_and_classifies_test_frames(
    argmax: bool, tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    run = train_tiny(tmp_path / "run")
    options = Options(
        run, frames=100, fps=500_000.0, argmax=argmax, skip=("torch", "qonnx", "dataflow", "rtl")
    )
    folder = build(options, tmp_path / "tiny").folder
    package = folder / "package"
    (package / "bitstream").mkdir()
    for name in ("accelerator.bit", "accelerator.hwh"):
        (package / "bitstream" / name).touch()
    board = fake_board.FakeBoard(
        fake_board.build_model(package, tmp_path / "model"), package / "rtl"
    )
    frames = load_frames(folder)
    with load_driver(package, board).Accelerator() as accelerator:
        report = accelerator.selftest()
        assert report["passed"], report
        assert report["frames"] == 64
        assert report["codes"] == 64 * (1 if argmax else 10)
        classes = accelerator.classify(frames.raw)
        assert accelerator.names(classes[:1])[0] == str(classes[0])
        found = accelerator.infer(frames.raw)
        board.pauses = 0
        measured = accelerator.throughput(frames=64, repeat=1)
    board.close()
    # The tiny network is right on nine of ten frames; a driver that mixes up pixels is not.
    assert np.mean(classes == frames.labels) > 0.85
    assert found.shape == ((100,) if argmax else (100, 10))
    # Back to back, the shell costs the design no cycle beyond the first frame's latency.
    assert measured["cycles_per_frame"] < accelerator.bundle["cycles_per_frame"] * 1.5

"""A network's package on the stand-in board: the last rung but the FPGA itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import fake_board
import numpy as np
import pytest
from tiny_networks import tiny_deeplab
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.source import NetworkSource
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.networks.calibrated import pattern_frames
from qdeploy.verify.frames import load_frames

LEFT_OUT = ("torch", "qonnx", "dataflow", "layer", "rtl")


@pytest.mark.slow
@pytest.mark.parametrize("argmax", [False, True], ids=["logits", "class"])
def test_a_trained_networks_package_passes_its_selftest_and_classifies_test_frames(
    argmax: bool, tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    run = train_tiny(tmp_path / "run")
    options = Options(run, frames=100, fps=500_000.0, argmax=argmax, skip=LEFT_OUT, synthesis=False)
    folder = build(options, tmp_path / "tiny").folder
    package = folder / "package"
    board = fake_board.stand_in(package, tmp_path / "model")
    frames = load_frames(folder)
    with load_driver(package, board).Accelerator() as accelerator:
        report = accelerator.selftest()
        assert report["passed"], report
        assert report["frames"] == 100
        assert report["codes"] == 100 * (1 if argmax else 10)
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


@pytest.mark.slow
@pytest.mark.parametrize("argmax", [False, True], ids=["logits", "class"])
def test_a_segmentation_networks_package_gives_maps(
    argmax: bool, tmp_path: Path, load_driver: Callable[..., ModuleType]
) -> None:
    network = tiny_deeplab()
    images = pattern_frames((3, 12, 16), 12, seed=3).numpy()
    source = NetworkSource("maps", network, images)
    options = Options(
        Path("maps"), frames=12, fps=10_000.0, argmax=argmax, skip=LEFT_OUT, synthesis=False
    )
    folder = build(options, tmp_path / "maps", source=source).folder
    board = fake_board.stand_in(folder / "package", tmp_path / "model")
    expected = IntSimulator(folder / "model.int.onnx").run(images.astype(np.int64))
    (values,) = expected.values()
    # A full transfer takes the simulated board longer than the driver waits for it.
    with load_driver(folder / "package", board).Accelerator(max_batch=8) as accelerator:
        report = accelerator.selftest()
        assert report["long_batch_frames"] == 9
        classes, found = accelerator.classify(images), accelerator.infer(images)
        scale = accelerator.bundle["output"]["scale"]
        names = accelerator.names(classes)
        assert len(accelerator.bundle["classes"]) == 5
    board.close()
    assert report["passed"], report
    wanted = values[:, 0] if argmax else values.argmax(axis=1)
    assert wanted.shape == (12, 3, 4)
    assert len(np.unique(wanted)) > 2
    np.testing.assert_array_equal(classes, wanted)
    assert names[1][2][0] == str(wanted[1, 2, 0])
    if argmax:
        np.testing.assert_array_equal(found, wanted)
    else:
        np.testing.assert_array_equal(found, values.transpose(0, 2, 3, 1) * scale)

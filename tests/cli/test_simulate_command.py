"""`qdeploy simulate`: frames through a build, as integers, in RTL and in C."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from random_qonnx import QonnxMaker, Weights

from qdeploy.build.build import build
from qdeploy.build.devices import C_CHUNK
from qdeploy.build.options import Options
from qdeploy.build.simulate import simulate as run
from qdeploy.cli.simulate import simulate
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.errors import DataError, UserError
from qdeploy.ir.file import read_graph
from qdeploy.verify.frames import load_frames

RUNGS = ("torch", "qonnx", "int", "dataflow", "memories", "layer", "rtl", "netlist")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    maker = QonnxMaker(11, (2, 5, 4))
    maker.conv(4, weights=Weights(2)).norm().relu().act(2).pool_all().act(4)
    source = maker.dense(3, Weights(3)).save(folder / "net.onnx")
    options = Options(
        source, frames=40, rtl_frames=4, synthesis=False, fifo_depths="analytic", skip=RUNGS
    )
    return build(options, folder / "built").folder


def told(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(simulate, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_both_levels_give_the_integers(made: Path) -> None:
    frames = load_frames(made)
    output = read_graph(made / "model.graph.safetensors").output
    expected = IntSimulator(made / "model.int.onnx").run(frames.codes)[output]
    integers = run(made)
    assert np.array_equal(integers.output, expected)
    assert integers.metrics == {}
    design = run(made, level="rtl", count=12)
    assert np.array_equal(design.output, integers.output[:12])
    assert np.array_equal(design.classes, integers.classes[:12])
    assert design.cycles_per_frame


def test_the_c_sources_give_the_integers_of_any_number_of_frames(
    made: Path, tmp_path: Path
) -> None:
    options = Options(
        made.parent / "net.onnx", target="c", frames=8, skip=("torch", "qonnx", "int", "c")
    )
    folder = build(options, tmp_path / "built").folder
    graph = read_graph(folder / "model.graph.safetensors")
    codes = np.random.default_rng(4).integers(0, 256, (2 * C_CHUNK + 3, 2, 5, 4))
    np.save(tmp_path / "new.npy", graph.prepared.real(codes))
    given = {"frames_from": tmp_path / "new.npy"}
    found = run(folder, level="c", threads=2, **given)
    integers = run(folder, **given)
    assert len(np.unique(integers.output, axis=0)) > 3
    assert np.array_equal(found.output, integers.output)
    assert np.array_equal(found.classes, integers.classes)
    words = (folder, "--level", "c", "--frames", 5)
    assert told(*words)["frames"] == 5
    text = CliRunner().invoke(simulate, [*map(str, words)], catch_exceptions=False).output
    assert "the C sources on this machine" in text


def test_given_frames_have_an_accuracy_and_classes_of_their_own(made: Path, tmp_path: Path) -> None:
    graph = read_graph(made / "model.graph.safetensors")
    codes = np.random.default_rng(4).integers(0, 256, (300, 2, 5, 4))
    x = graph.prepared.real(codes)
    classes = run(made).classes
    np.savez(tmp_path / "new.npz", images=x)
    found = run(made, frames_from=tmp_path / "new.npz")
    labels = np.where(np.arange(300) % 4 == 0, (found.classes + 1) % 3, found.classes)
    np.save(tmp_path / "labels.npy", labels)
    words = (made, "--frames-from", tmp_path / "new.npz", "--labels", tmp_path / "labels.npy")
    assert told(*words, "--out", tmp_path / "out.npz")["accuracy"] == 0.75
    with np.load(tmp_path / "out.npz") as out:
        assert np.array_equal(out["classes"], found.classes)
        assert np.array_equal(out["logits"].argmax(axis=1), found.classes)
        assert np.array_equal(out["labels"], labels)
    text = CliRunner().invoke(simulate, [*map(str, words)], catch_exceptions=False).output
    assert "integers: accuracy 75.00%; 300 frames" in text
    assert len(classes) == 40


def test_what_does_not_go_together_is_refused(made: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.zeros(40, np.int64))
    np.save(tmp_path / "other.npy", np.zeros((3, 7, 7), np.float32))
    with pytest.raises(UserError, match="labels, and no frames"):
        run(made, labels=tmp_path / "labels.npy")
    with pytest.raises(DataError, match=r"other\.npy"):
        run(made, frames_from=tmp_path / "other.npy")
    with pytest.raises(UserError, match="no C sources") as caught:
        run(made, level="c")
    assert "--target c" in str(caught.value.do)
    with pytest.raises(UserError, match="holds no complete build"):
        run(tmp_path)

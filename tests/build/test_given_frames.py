"""A build of a file with frames, labels and names of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from input_files import InputFile

from qdeploy.build.build import build
from qdeploy.build.options import Options, read_options
from qdeploy.build.source import FileExtras, FileSource
from qdeploy.build_folder import read_classes
from qdeploy.cli.main import qdeploy, run
from qdeploy.errors import DataError
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.lowering.canonical.executor import execute
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.verify.frames import load_frames

SHAPE = (4, 5, 1)
NAMES = "cat dog cow hen bee"
FAST = ("dataflow", "memories", "layer", "rtl", "netlist layer", "netlist", "int")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    file = InputFile(SHAPE).op("Transpose", perm=[0, 3, 1, 2]).quant(0.03, 6)
    return file.done(tmp_path / "network.onnx", (1, 4, 5))


def given(tmp_path: Path, values: np.ndarray, labels: object = None) -> FileExtras:
    np.save(tmp_path / "frames.npy", values)
    if labels is not None:
        np.save(tmp_path / "labels.npy", np.asarray(labels))
    return FileExtras(
        frames=tmp_path / "frames.npy",
        labels=None if labels is None else tmp_path / "labels.npy",
    )


def test_accuracy_golden_frames_and_names_are_those_that_were_given(
    network: Path, tmp_path: Path
) -> None:
    raw = np.random.default_rng(2).integers(0, 256, (40, *SHAPE)).astype(np.uint8)
    x = raw.astype(np.float32) / np.float32(255)
    labels = execute(canonical(network, probe=False), x)["logits"].argmax(axis=1)
    labels[:10] = (labels[:10] + 1) % 5
    np.savez(tmp_path / "frames.npz", images=raw)
    (tmp_path / "labels.csv").write_text("\n".join(map(str, labels)))
    (tmp_path / "names.txt").write_text(NAMES.replace(" ", "\n"))
    options = Options(
        network,
        frames=30,
        rtl_frames=10,
        fps=20_000.0,
        synthesis=False,
        fifo_depths="analytic",
        skip=FAST,
        input="uint8:1/255",
        frames_from=tmp_path / "frames.npz",
        labels=tmp_path / "labels.csv",
        class_names=tmp_path / "names.txt",
    )
    folder = build(options, tmp_path / "built").folder
    record = json.loads((folder / "build.json").read_text())
    assert record["accuracy_int"] == pytest.approx(0.75, abs=0.05)
    classes = read_classes(folder)
    assert classes is not None
    assert classes["classes"] == NAMES.split()
    assert classes["accuracy"] == record["accuracy_int"]
    assert np.sum(classes["confusion"]) == 40
    assert record["frames"] == "frames of `frames.npz`"
    assert not any("random" in note for note in record["notes"])
    assert record["source"]["classes"] == NAMES.split()
    assert read_options(folder).labels == tmp_path / "labels.csv"
    frames = load_frames(folder)
    # The first 30, in the order that shows most faults with the fewest.
    came = [int(np.flatnonzero((raw[:30] == one).all(axis=(1, 2, 3)))[0]) for one in frames.raw]
    assert sorted(came) == list(range(30))
    with np.load(folder / "package/golden/golden.npz") as golden:
        np.testing.assert_array_equal(golden["inputs"], raw[came])
    assert json.loads((folder / "package/bundle.json").read_text())["classes"] == NAMES.split()


def test_real_frames_are_the_files_own_input(network: Path, tmp_path: Path) -> None:
    graph = lower_model(canonical(network, probe=False)).graph
    x = np.random.default_rng(0).uniform(-1.2, 1.2, (6, *SHAPE))
    frames = FileSource(network, given(tmp_path, x)).frames(graph, 6, 0)
    np.testing.assert_array_equal(frames.codes, graph.prepared.codes(x))
    np.testing.assert_array_equal(graph.prepared.codes_of_integers(frames.raw), frames.codes)
    assert (frames.tested, frames.random) == (0, False)


@pytest.mark.parametrize(
    ("values", "labels", "option", "message"),
    [
        (np.zeros((2, *SHAPE), np.uint8), None, None, "--input uint8:1/255"),
        (np.full((2, *SHAPE), 256), None, "uint8:1/255", "from 256 to 256"),
        (np.full((2, *SHAPE), 0.3), None, "uint1", "no raw uint1 values give"),
        (np.zeros((2, 5, 4, 1)), None, None, "their shape is (5, 4, 1)"),
        (np.zeros((2, *SHAPE)), [0, 5], None, "the label 5"),
    ],
)
def test_frames_that_are_not_the_networks_are_refused(
    values: np.ndarray,
    labels: object,
    option: str | None,
    message: str,
    network: Path,
    tmp_path: Path,
) -> None:
    raw = None if option is None else parse_raw_type(option)
    graph = lower_model(canonical(network, probe=False, raw=raw)).graph
    with pytest.raises(DataError) as caught:
        FileSource(network, given(tmp_path, values, labels)).frames(graph, 2, 0)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--input", "float:2"), "says no type of the input"),
        (("--input", "uint17"), "raw integers have 1 to 16 bits"),
        (("--input", "uint8:1/0"), "divided by 0"),
        (("--input", "uint8:0"), "a scale is positive"),
        (("--input", "uint8:1e-99"), "a scale is positive"),
        (("--labels", "labels.npy"), "no frames that they are of"),
        (("--class-names", "names.txt"), "3 names for 5 classes"),
        (("--frames-from", "nowhere.npz"), "No such file"),
    ],
)
def test_what_is_told_wrongly_ends_with_a_message(
    options: tuple[str, ...],
    message: str,
    network: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.txt").write_text("a\nb\nc\n")
    np.save(tmp_path / "labels.npy", np.zeros(3, int))
    assert run(qdeploy, ["export", str(network), "--out", str(tmp_path / "b"), *options]) == 2
    shown = capsys.readouterr().err
    assert message in " ".join(shown.split())
    assert "Traceback" not in shown

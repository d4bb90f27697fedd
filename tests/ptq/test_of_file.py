"""`qdeploy quantize FILE.onnx` as a user meets it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from float_files import exported, keras_like
from float_networks import NETWORKS, float_network
from judged import judged
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from qdeploy.cli.main import qdeploy, run
from qdeploy.errors import DataError, UserError
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.input_type import declared_type
from qdeploy.lowering.integers.lower import lower
from qdeploy.observer import SILENT
from qdeploy.ptq.calibration import read_calibration
from qdeploy.ptq.importing.to_torch import import_float
from qdeploy.ptq.of_file import quantize_file
from qdeploy.ptq.options import PostTraining
from qdeploy.verify.float_levels import qonnx_level

METHODS = {"resnet": ("gptq", "equalize", "bias-correction"), "series": ("gpfq",)}


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for networks this small."""
    monkeypatch.setattr("qdeploy.ptq.adaround.STEPS", 100)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained float network, `net.onnx`, and `digits.npz`."""
    folder = tmp_path_factory.mktemp("digits")
    images, labels = load_digits(return_X_y=True)
    pixels = (images * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    np.savez(folder / "digits.npz", images=pixels, labels=labels)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )
    x, y = torch.from_numpy(pixels).float() / 255, torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(8):
        for part in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            F.cross_entropy(network(x[part]), y[part]).backward()
            optimizer.step()
    exported(network, x, folder / "net.onnx")
    return folder


def call(*words: object) -> int:
    return run(qdeploy, [str(word) for word in words])


def test_it_ends_with_both_accuracies_and_a_file_that_goes_on(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net_int.onnx"
    words = ("--calibrate", digits / "digits.npz", "--input", "uint8:1/255", "--out", out)
    assert call("quantize", digits / "net.onnx", *words, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 1797 - 512
    assert found["compared_on"] == "frames that no scale was chosen with"
    assert found["float"]["accuracy"] > 0.95
    assert found["quantized"]["accuracy"] > found["float"]["accuracy"] - 0.005
    assert found["agreement"] > 0.99
    assert call("quantize", digits / "net.onnx", *words, "--force") == 0
    shown = capsys.readouterr().out
    assert f"accuracy: float {found['float']['accuracy']:.2%}" in shown
    assert f"next: qdeploy export {out} --target pynq --frames-from" in shown
    assert declared_type(onnx.load(out)) == parse_raw_type("uint8:1/255")
    assert call("inspect", out) == 0


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_integers_of_the_written_file_are_those_of_its_executor(
    kind: str, tmp_path: Path
) -> None:
    network, frames = float_network(kind)
    path = exported(network, frames, tmp_path / "net.onnx")
    np.save(tmp_path / "frames.npy", frames.numpy())
    options = PostTraining(
        weight_bits=4, activation_bits=4, methods=METHODS.get(kind, ("bias-correction",))
    )
    out = tmp_path / "out.onnx"
    made = quantize_file(path, out, tmp_path / "frames.npy", options)
    assert made.comparison.frames == 12 and not made.unseen
    graph = lower(out)
    codes = graph.prepared.codes(frames.numpy()).astype(np.int64)
    expected = run_reference(graph, codes)
    assert len(np.unique(expected["logits"])) > 10
    verdict = judged(out, codes, qonnx_level(out, graph, codes))
    assert verdict.wrong == 0, verdict


@pytest.mark.parametrize("method", ["none", "gpfq", "adaround"])
def test_the_same_call_gives_the_same_bytes(method: str, digits: Path, tmp_path: Path) -> None:
    for name in ("one.onnx", "two.onnx"):
        words = ("--calibrate", digits / "digits.npz", "--input", "uint8:1/255", "--images", 64)
        torch.randn(3)  # whatever was drawn before
        out = ("--method", method, "--weights", 3, "--out", tmp_path / name)
        assert call("quantize", digits / "net.onnx", *words, *out) == 0
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_channels_last_networks_take_pictures(tmp_path: Path) -> None:
    path = tmp_path / "keras.onnx"
    keras_like(path)
    rng = np.random.default_rng(0)
    (tmp_path / "frames").mkdir()
    for index in range(6):
        pixels = rng.integers(0, 256, (12, 8, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{index}.png")
    raw = parse_raw_type("uint8:1/255")
    made = quantize_file(path, tmp_path / "out.onnx", tmp_path / "frames", raw=raw)
    assert made.comparison.frames == 6
    assert lower(tmp_path / "out.onnx").prepared.shape == (3, 12, 8)


def _classes(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(5):
            pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


def test_folders_of_classes_and_tables_have_their_labels(tmp_path: Path) -> None:
    network, frames = float_network("resnet")
    images = import_float(exported(network, frames, tmp_path / "net.onnx"))
    raw = parse_raw_type("uint8:1/255")
    found = read_calibration(_classes(tmp_path / "pets"), images, raw, SILENT)
    assert found.labels is not None and sorted(found.labels.tolist()) == [0] * 5 + [1] * 5
    assert found.frames.shape == (10, 3, 12, 12) and found.span == (0.0, 1.0)
    network, frames = float_network("mlp")
    vectors = import_float(exported(network, frames, tmp_path / "mlp.onnx"))
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"f{k}" for k in range(9)), "kind"])
        for index in range(6):
            writer.writerow([*(index - k for k in range(9)), "ab"[index % 2]])
    table = read_calibration(tmp_path / "table.csv", vectors, None, SILENT, label_column="kind")
    assert table.labels is not None and table.labels.tolist() == [0, 1] * 3
    assert table.span == (-8.0, 5.0) and table.frames[1].tolist() == [1.0 - k for k in range(9)]


NAN = np.zeros((4, 3, 12, 12), np.float32)
NAN[2, 1] = np.nan


@pytest.mark.parametrize(
    ("values", "raw", "said"),
    [
        (np.zeros((4, 3, 10, 12), np.float32), None, "the network takes (3, 12, 12)"),
        (np.zeros((4, 12, 12, 3), np.float32), None, "the network takes (3, 12, 12)"),
        (NAN, None, "not finite"),
        (np.zeros((0, 3, 12, 12), np.float32), None, "is no frames"),
        (np.zeros((4, 3, 12, 12), np.float32), None, "all calibration frames are 0"),
        (np.ones((4, 3, 12, 12), np.uint8), None, "nothing says what an integer means"),
        (np.full((4, 3, 12, 12), 300, np.int32), "uint8", "from 300 to 300, uint8 from 0 to 255"),
        (np.full((4, 3, 12, 12), 1e300), None, "too large for float32"),
        (np.ones((4, 3, 12, 12), np.complex64), None, "complex64"),
    ],
)
def test_frames_that_are_not_the_networks_are_refused(
    values: np.ndarray, raw: str | None, said: str, tmp_path: Path
) -> None:
    network, frames = float_network("resnet")
    found = import_float(exported(network, frames, tmp_path / "net.onnx"))
    np.save(tmp_path / "frames.npy", values)
    kind = None if raw is None else parse_raw_type(raw)
    with pytest.raises(DataError) as caught:
        read_calibration(tmp_path / "frames.npy", found, kind, SILENT)
    assert said in caught.value.render()


def test_labels_that_are_not_the_networks_are_refused(tmp_path: Path) -> None:
    network, frames = float_network("resnet")
    found = import_float(exported(network, frames, tmp_path / "net.onnx"))
    np.savez(tmp_path / "frames.npz", images=frames.numpy(), labels=np.arange(12))
    with pytest.raises(DataError, match="the label 11"):
        read_calibration(tmp_path / "frames.npz", found, None, SILENT)


def test_mistakes_end_with_code_2_and_write_nothing(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net, data, out = digits / "net.onnx", digits / "digits.npz", tmp_path / "out.onnx"
    for words, said in (
        (("--out", out), "give them by --calibrate"),
        (("--calibrate", tmp_path / "nothing", "--out", out), "there is no file or folder"),
        (("--calibrate", data, "--out", out), "nothing says what an integer means"),
        (("--calibrate", data, "--input", "byte", "--out", out), "says no type"),
        (("--calibrate", data, "--input", "uint8", "--weights", 1, "--out", out), "weight bits"),
        (("--calibrate", data, "--input", "uint8", "--out", tmp_path / "out"), "end in .onnx"),
        (("--calibrate", data, "--input", "uint8", "--out", net), "exists"),
        (("--calibrate", data, "--input", "uint8", "--out", net, "--force"), "exists"),
    ):
        assert call("quantize", net, *words) == 2, words
        assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_quantized_is_not_quantized_again(digits: Path, tmp_path: Path) -> None:
    raw = parse_raw_type("uint8:1/255")
    quantize_file(digits / "net.onnx", tmp_path / "out.onnx", digits / "digits.npz", raw=raw)
    with pytest.raises(UserError, match="is quantized already"):
        quantize_file(tmp_path / "out.onnx", tmp_path / "b.onnx", digits / "digits.npz", raw=raw)


def test_another_set_of_frames_is_compared_on(
    digits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(digits / "digits.npz") as held:
        np.savez(tmp_path / "few.npz", images=held["images"][:200], labels=held["labels"][:200])
    words = ("--calibrate", digits / "digits.npz", "--input", "uint8:1/255", "--json")
    few = ("--compare-on", tmp_path / "few.npz", "--out", tmp_path / "out.onnx")
    assert call("quantize", digits / "net.onnx", *words, *few) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["compared_on"]) == (200, "frames of few.npz")

"""`qdeploy quantize RUN` as a user meets it: a run folder becomes another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny_runs import train_tiny

import qdeploy as own
from qdeploy.cli.main import qdeploy, run
from qdeploy.data.load import load_dataset
from qdeploy.training.batches import Batching
from qdeploy.training.evaluate import measure
from qdeploy.training.run import MODEL, load_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("runs") / "run", "training.epochs=6")


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for networks this small."""
    monkeypatch.setattr("qdeploy.ptq.adaround.STEPS", 100)


def call(*words: object) -> int:
    return run(qdeploy, [str(word) for word in words])


def test_it_ends_with_both_accuracies_and_the_next_command(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "eight"
    assert call("quantize", trained, "--out", out) == 0
    shown = capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    said = summary["post_training"]
    before = json.loads((trained / "summary.json").read_text())["phases"][0]["accuracy"]
    assert said["float"]["accuracy"] == before
    assert f"accuracy: float {before:.2%}, quantized {summary['accuracy']:.2%}" in shown
    assert f"same class: {said['agreement']:.2%} of 360 frames (the test set)" in shown
    assert f"next: qdeploy export {out} --target pynq" in shown
    made = load_run(out)
    assert made.recipe.quantization.weight_bits == 8
    assert [phase.kind for phase in made.recipe.phases] == ["pretrain", "direct"]
    dataset = load_dataset(made.recipe.data, None)
    score = measure(made.network, dataset, Batching.of(made.recipe))
    assert score.accuracy == summary["accuracy"]
    assert call("inspect", out) == 0


@pytest.mark.parametrize("method", ["gpfq", "gptq", "adaround", "equalize"])
def test_the_same_call_gives_the_same_bytes(method: str, trained: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        torch.randn(3)  # whatever was drawn before
        words = ("--method", method, "--method", "bias-correction", "--weights", 3, "--images", 64)
        assert call("quantize", trained, *words, "--out", tmp_path / name) == 0
    one, two = ((tmp_path / name / MODEL).read_bytes() for name in ("one", "two"))
    assert one == two


def test_json_has_bits_methods_and_figures(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--weights", 4, "--activations", 3, "--method", "none", "--percentile", 99, "--json")
    assert call("quantize", trained, *words, "--out", tmp_path / "run") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["weight_bits"], found["activation_bits"], found["methods"]) == (4, 3, [])
    assert (found["steps"], found["percentile"], found["frames"]) == ("percentile", 99, 360)
    assert 0 < found["quantized"]["accuracy"] <= 1


def test_what_cannot_be_done_ends_with_code_2_and_says_why(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("quantize", tmp_path / "nowhere", "--out", tmp_path / "a") == 2
    assert "is not a run folder" in capsys.readouterr().err
    assert call("quantize", trained, "--out", trained) == 2
    assert "over itself" in capsys.readouterr().err
    assert call("quantize", trained, "--weights", 12, "--out", tmp_path / "a") == 2
    assert "weight bits: 12" in capsys.readouterr().err
    assert call("quantize", trained, "--method", "gpfq", "--method", "gptq") == 2
    assert "exclude each other" in capsys.readouterr().err
    assert call("quantize", trained, "--method", "none", "--method", "gptq") == 2
    assert "leave it out" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_another_run_in_the_folder_is_replaced_only_by_force(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert call("quantize", trained, "--out", out) == 0
    assert call("quantize", trained, "--weights", 4, "--out", out) == 2
    assert "replace that run with --force" in capsys.readouterr().err
    assert load_run(out).recipe.quantization.weight_bits == 8
    assert call("quantize", trained, "--weights", 4, "--out", out, "--force") == 0
    assert load_run(out).recipe.quantization.weight_bits == 4
    assert call("quantize", trained, "--weights", 4, "--out", out) == 0
    assert load_run(out).recipe.quantization.weight_bits == 4


def test_a_run_of_ones_own_module_keeps_its_frames(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 6, generator=generator)
    samples = torch.utils.data.TensorDataset(x, (x[:, 0] > x[:, 1]).long())
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    changes = ["training.epochs=2", "quantization.input_bits=8"]
    recipe = "quickstart/digits_fcdnn_w2a2"
    folder = own.train(module, samples, recipe, out=tmp_path / "run", overrides=changes)
    assert call("quantize", folder, "--method", "gptq", "--out", tmp_path / "eight") == 0
    made = load_run(tmp_path / "eight")
    assert made.dataset().test_images.shape[0] == load_run(folder).dataset().test_images.shape[0]
    assert call("inspect", tmp_path / "eight") == 0

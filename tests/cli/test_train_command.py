"""`qdeploy train` as a user meets it: a process, its output and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdeploy.cli.main import qdeploy, run

RECIPE = """\
name: small
network: {type: fcdnn, width: 16, depth: 2}
data: {name: digits, batch_size: 64}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 3, optimizer: {lr: 0.1}}
  - {name: retrain, kind: retrain, epochs: 3, optimizer: {lr: 0.01}, lipschitz: 1.0e-4}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def call(*words: object) -> int:
    return run(qdeploy, ["train", *(str(word) for word in words)])


def process(*words: object) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        [sys.executable, "-m", "qdeploy.cli.main", "train", *(str(word) for word in words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )


def test_training_ends_with_a_table_and_the_next_command(recipe, tmp_path, capsys):
    assert call(recipe, "--out", tmp_path / "run") == 0
    out, err = capsys.readouterr()
    for word in ("float", "retrain", "test acc.", "L_Lip"):
        assert word in out
    assert f"next: qdeploy export {tmp_path / 'run'} --target pynq" in out.replace("\n", " ")
    assert "retrain 3/3: loss" in err


def test_json_prints_the_summary_alone_on_standard_output(recipe, tmp_path, capsys):
    assert call(recipe, "--out", tmp_path / "run", "--set", "training.epochs=1", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [phase["epochs"] for phase in summary["phases"]] == [1, 1]
    assert summary == json.loads((tmp_path / "run" / "summary.json").read_text())


def test_the_run_folder_defaults_to_the_recipes_name_and_what_was_set(
    recipe, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert call(recipe, "--set", "training.epochs=1") == 0
    assert (tmp_path / "runs" / "small+training.epochs=1" / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "network.widht=3"], "did you mean `width`?"),
        (["--set", "quantization.weight_bits=9"], "not in the range 1 to 8"),
        (["--set", "data.name=cifar10", "--data", "nowhere"], "data_batch_1, data_batch_2"),
    ],
)
def test_mistakes_exit_with_two_and_say_what_to_do(recipe, tmp_path, capsys, words, message):
    assert call(recipe, "--out", tmp_path / "run", *words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "do this" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_become_hardware_is_refused_before_training(
    recipe, tmp_path, capsys, monkeypatch
):
    from qdeploy.networks.fcdnn import Fcdnn

    class SumOfTwoScales(Fcdnn):
        """Every network of a recipe is accepted: this one adds branches of different scales."""

        def __init__(self, network, make, input_shape, classes):
            super().__init__(network, make, input_shape, classes)
            self.other = make.relu("other")

        def forward(self, x):
            h = self.hidden1(self.flatten(self.input_quant(x)))
            return self.head(h + self.other(0.3 * self.hidden2(h)))

    monkeypatch.setattr("qdeploy.networks.fcdnn.Fcdnn", SumOfTwoScales)
    words = [recipe, "--out", tmp_path / "run", "--set", "training.epochs=1"]
    words += ["--set", "quantization.layers={other: {activation_bits: 3}}"]
    assert call(*words) == 2
    assert "different scales" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert call(*words, "--any-network") == 0


def test_a_network_that_only_the_hardware_lacks_a_unit_for_is_refused_before_training(
    tmp_path, capsys, monkeypatch
):
    from qdeploy.networks.convnet import Convnet

    class QuantizesLate(Convnet):
        """Integers throughout, but quantized once more after the Flatten."""

        def __init__(self, network, make, input_shape, classes):
            super().__init__(network, make, input_shape, classes)
            self.late = make.relu("late")

        def forward(self, x):
            x = self.stage1(self.input_quant(x))
            return self.head(self.late(self.flatten(x)))

    monkeypatch.setattr("qdeploy.networks.convnet.Convnet", QuantizesLate)
    recipe = tmp_path / "late.yaml"
    network = "network: {type: convnet, stages: [{channels: 3, pool: 2}]}"
    recipe.write_text(RECIPE.replace(RECIPE.splitlines()[1], network))
    words = [recipe, "--out", tmp_path / "run", "--set", "training.epochs=1"]
    words += ["--set", "quantization.layers={late: {activation_bits: 1}}"]
    assert call(*words) == 2
    message = capsys.readouterr().err
    assert "layer `flatten` cannot become hardware" in message
    assert "codes of a feature map -> Flatten -> Linear" in message
    assert not (tmp_path / "run").exists()
    assert call(*words, "--any-network") == 0


def test_the_folder_of_the_data_sets_comes_from_the_environment_too(
    recipe, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("QDEPLOY_DATA", str(tmp_path / "sets"))
    words = [recipe, "--out", tmp_path / "run", "--set", "data.name=cifar10"]
    assert call(*words) == 2
    assert str(tmp_path / "sets" / "cifar-10-batches-py") in capsys.readouterr().err
    assert call(*words, "--data", tmp_path / "other") == 2
    assert str(tmp_path / "other" / "cifar-10-batches-py") in capsys.readouterr().err
    monkeypatch.delenv("QDEPLOY_DATA")
    assert call(*words) == 2
    assert "give --data FOLDER or set QDEPLOY_DATA" in capsys.readouterr().err


def test_resume_and_force_exclude_each_other(recipe, capsys):
    assert call(recipe, "--resume", "--force") == 2
    assert "give one of them" in capsys.readouterr().err


def test_broken_yaml_exits_with_two_and_names_the_line(tmp_path, capsys):
    path = tmp_path / "broken.yaml"
    path.write_text("name: x\nnetwork: {type: fcdnn\nphases: []\n")
    assert call(path) == 2
    assert f"{path}:3" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on_and_that_command_ends_at_the_unbroken_weights(recipe, tmp_path):
    assert call(recipe, "--out", tmp_path / "unbroken", "--set", "training.epochs=60") == 0
    out = tmp_path / "broken"
    first = process(recipe, "--out", out, "--set", "training.epochs=60")
    mark = out / "checkpoints" / "phase01-epoch00002.json"
    end = time.monotonic() + 120
    while not mark.exists() and first.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "interrupted: go on with `qdeploy train" in err
    assert "Traceback" not in err
    assert not list(out.rglob("*.part"))
    again = err.split("`qdeploy train ")[1].split("`")[0].split()
    assert call(*again) == 0
    weights = [
        (tmp_path / run / "model.safetensors").read_bytes() for run in ("unbroken", "broken")
    ]
    assert weights[0] == weights[1]

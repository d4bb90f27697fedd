"""`qdeploy train` says first whether the network fits the board: when, in which words, at no cost
to the run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qdeploy.artifacts import sha256
from qdeploy.cli.main import qdeploy, run

RECIPE = """\
name: small
network: {type: fcdnn, width: 16, depth: 2}
data: {name: digits, batch_size: 64}
training: {threads: 1, epochs: 1}
phases:
  - {name: float, kind: pretrain, epochs: 1, optimizer: {lr: 0.1}}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def call(*words: object) -> int:
    return run(qdeploy, ["train", *map(str, words)])


def test_a_board_gets_a_verdict_first_and_the_weights_are_those_without(recipe, tmp_path, capsys):
    assert call(recipe, "--out", tmp_path / "plain") == 0
    assert "estimate for" not in "".join(capsys.readouterr())  # piped: nobody asked
    words = ["--board", "pynq-z1", "--fps", 10_000, "--max-lut", "20%"]
    assert call(recipe, "--out", tmp_path / "asked", *words) == 0
    out, err = capsys.readouterr()
    assert err.startswith("estimate for pynq-z1: fits: ")
    assert "frames/s at 100 MHz, bound by" in err.partition("\n")[0]
    assert "estimate" not in out
    digests = {sha256(tmp_path / name / "model.safetensors") for name in ("plain", "asked")}
    assert len(digests) == 1


def test_what_does_not_fit_is_said_with_by_how_much_and_trained_all_the_same(
    recipe, tmp_path, capsys
):
    assert call(recipe, "--out", tmp_path / "run", "--max-lut", 90) == 0
    first = capsys.readouterr().err.partition("\n")[0]
    assert first.startswith("estimate for pynq-z2: DOES NOT FIT: not even the slowest folding")
    assert "where 90 are allowed" in first and "allow more: --max-lut" in first
    assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "pynq-z9"], "the board `pynq-z9` is not known"),
        (["--max-lut", "99%"], "a design cannot have"),
        (["--fps", "-1"], "cannot be reached"),
    ],
)
def test_a_wish_no_board_has_is_refused_before_training(recipe, tmp_path, capsys, words, message):
    assert call(recipe, "--out", tmp_path / "run", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_it_may_be_left_out(recipe, tmp_path, capsys):
    assert call(recipe, "--out", tmp_path / "run", "--max-lut", 90, "--no-estimate") == 0
    assert "estimate for" not in "".join(capsys.readouterr())


def test_on_a_terminal_the_verdict_comes_unasked(recipe, tmp_path):
    terminal, end = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "qdeploy", "train", recipe, "--out", tmp_path / "run"],
        stderr=end,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(end)
    shown = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(terminal)
    assert process.wait() == 0
    assert b"retrain" in shown.partition(b"estimate for pynq-z2: fits: ")[2]

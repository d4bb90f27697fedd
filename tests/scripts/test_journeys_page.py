"""docs/journeys.md: its data are made, its recipes take them, and its estimate is what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import blocks, call
from PIL import Image

from qdeploy.data.load import load_dataset
from qdeploy.recipe.loading import load_recipe

PAGE = "journeys.md"
SHELL = [line.split() for block in blocks(PAGE, "sh") for line in block.splitlines()]


def script(beginning: str) -> str:
    """The block of Python that has these words."""
    (found,) = (block for block in blocks(PAGE, "python") if beginning in block)
    return found


def run(text: str, folder: Path, seconds: float = 120) -> str:
    (folder / "script.py").write_text(text)
    command = [sys.executable, "script.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def recipe(name: str, folder: Path) -> Path:
    (text,) = (block for block in blocks(PAGE, "yaml") if block.startswith(f"name: {name}\n"))
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def test_the_images_are_a_data_set_of_20_classes_that_init_takes(tmp_path: Path) -> None:
    # A tenth of the images: the same folders.
    run(script("parts").replace("range(80)", "range(8)"), tmp_path)
    assert {Image.open(one).mode for one in (tmp_path / "parts/part00").iterdir()} == {"L"}
    done = call(["init", "parts", "--out", "parts.yaml"], tmp_path)
    assert done.code == 0, done.err
    data = load_dataset(load_recipe(tmp_path / "parts.yaml").data, tmp_path)
    assert (data.shape, len(data.classes)) == ((1, 32, 32), 20)


def test_the_table_is_windows_of_twelve_channels_by_session(tmp_path: Path) -> None:
    run(script("machine.csv").replace("range(10)", "range(4)"), tmp_path)
    data = load_dataset(load_recipe(recipe("sensors", tmp_path)).data, tmp_path)
    assert data.shape == (12, 1, 64)
    # 1,200 lines give 36 windows of each of five states, of each session.
    assert [len(split) for split in data.splits.values()] == [360, 180, 180]


def test_the_estimate_is_that_of_the_page(tmp_path: Path) -> None:
    recipe("gauge", tmp_path)
    estimate = next(words for words in SHELL if words[:2] == ["qdeploy", "estimate"])
    done = call(estimate[1:], tmp_path)
    assert done.code == 0, done.err
    assert "fits: 12,124 frames/s" in done.out and "3,324" in done.out


@pytest.mark.slow
def test_the_commands_of_the_sensors_and_the_sweep_run_as_written(tmp_path: Path) -> None:
    run(script("machine.csv"), tmp_path)
    recipe("sensors", tmp_path)
    recipe("gauge", tmp_path)
    for words in SHELL:
        if words[:3] == ["qdeploy", "train", "sensors.yaml"] or words[1] == "sweep":
            done = call(words[1:], tmp_path)
            assert done.code == 0, done.err
    assert (tmp_path / "runs/sensors/summary.json").is_file()
    assert (tmp_path / "sweep.svg").is_file()


@pytest.mark.slow
def test_the_module_in_lightning_trains_and_becomes_a_proven_build(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    said = run(script("LightningModule"), tmp_path, 3600)
    assert "rtl 0 of " in said and "int 0 of " in said

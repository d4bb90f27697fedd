"""Training and analysis called from Python: the observer hears everything, the terminal nothing."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from qdeploy.observer import Meter, Observer
from qdeploy.recipe.loading import save_recipe
from qdeploy.training import train as training
from qdeploy.training.analysis.report import Settings, analyze
from qdeploy.training.launch import Launch
from qdeploy.training.run import load_run
from qdeploy.training.train import train

QUICK = Settings(frames=16, loss_frames=16, directions=2)


@dataclass
class Heard:
    """What an observer was told."""

    notes: list[str] = field(default_factory=list)
    meters: list[tuple[str, float | None, str, float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def observer(self) -> Observer:
        return Observer(self.notes.append, self._meter, self.warnings.append)

    @contextmanager
    def _meter(self, description: str, total: float | None, unit: str) -> Iterator[Meter]:
        counter = Counter()
        yield counter
        self.meters.append((description, total, unit, counter.done))


class Counter:
    """A meter that only counts."""

    done: float = 0

    def begin_at(self, done: float) -> None:
        self.done = done

    def advance(self, amount: float = 1, note: str | None = None) -> None:
        self.done += amount


@pytest.fixture
def heard() -> Heard:
    return Heard()


def test_training_and_analysis_tell_the_observer_and_write_nothing(
    recipe, tmp_path, heard, capfd, monkeypatch
):
    def warn(*_arguments: object) -> None:
        warnings.warn("a package is worried", UserWarning, stacklevel=1)
        checked(*_arguments)

    checked = training.check_shards
    monkeypatch.setattr(training, "check_shards", warn)
    folder = train(recipe, tmp_path / "run", observer=heard.observer)
    images = 1437 // 64 * 64
    assert heard.meters == [
        ("float", 2 * images, "images", 2 * images),
        ("retrain", 3 * images, "images", 3 * images),
        ("finetune", 2 * images, "images", 2 * images),
    ]
    assert [note.split(":")[0] for note in heard.notes] == [
        "float 1/2",
        "float 2/2",
        "retrain 1/3",
        "retrain 2/3",
        "retrain 3/3",
        "finetune 1/2",
        "finetune 2/2",
    ]
    assert "a package is worried" in heard.warnings
    heard.meters.clear()
    run = load_run(folder)
    analyze(run, run.dataset(), QUICK, heard.observer)
    assert heard.meters == [("flatness", 2, "directions", 2)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_without_an_observer_a_process_of_its_own_writes_nothing(recipe, tmp_path):
    """With every warning that Python can show; what imports say of themselves comes before."""
    save_recipe(recipe, tmp_path / "recipe.yaml")
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from qdeploy.recipe.loading import load_recipe\n"
        "from qdeploy.training.analysis.report import Settings, analyze\n"
        "from qdeploy.training.run import load_run\n"
        "from qdeploy.training.train import train\n"
        "print('loaded', flush=True); print('loaded', file=sys.stderr, flush=True)\n"
        "folder = train(load_recipe(sys.argv[1]), Path(sys.argv[2]))\n"
        "run = load_run(folder)\n"
        "analyze(run, run.dataset(), Settings(frames=8, loss_frames=8, directions=1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, tmp_path / "recipe.yaml", tmp_path / "run"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "loaded\n"
    assert done.stderr.endswith("loaded\n")
    assert (tmp_path / "run" / "summary.json").exists()


def test_only_the_first_of_several_processes_reports(recipe, tmp_path, heard):
    """A finished run needs no other process: the note is all there would be."""
    folder = train(recipe, tmp_path / "run")
    train(recipe, folder, launch=Launch(rank=1), observer=heard.observer)
    assert heard == Heard()
    train(recipe, folder, observer=heard.observer)
    assert [note.endswith("nothing to do") for note in heard.notes] == [True]


def test_steps_without_kernels_are_told_once(recipe, tmp_path, monkeypatch, heard):
    monkeypatch.setattr("qdeploy.quant.native.missing", lambda: "no C compiler is on the PATH")
    train(recipe, tmp_path / "run", observer=heard.observer)
    (note,) = [note for note in heard.notes if "compiler" in note]
    assert note.startswith("note: no C compiler is on the PATH: quantizers run in torch")

"""Studies run: what comes of every trial, what is done again, and what ends a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from qdeploy.errors import LockedError, StudyError
from qdeploy.folder_lock import locked
from qdeploy.recipe.models import Recipe
from qdeploy.study.engine import Progress, StudyObserver
from qdeploy.study.reading import open_study
from qdeploy.study.results import read_results
from qdeploy.study.run import Request, run_study
from qdeploy.study.store import DIVERGED, DONE, FAILED, Row, opened
from qdeploy.study.trial import RUNS
from qdeploy.training.run import read_summary
from qdeploy.training.train import train

STUDY = """
title: mine
networks:
  small: {recipe: quickstart/digits_fcdnn_w2a2, values: {units: 8}}
variants:
  float: {phases: [float]}
  plain: {phases: [float, retrain]}
  wild:
    phases: [float, retrain]
    set: [phases.retrain.optimizer.lr=100, phases.retrain.lipschitz=1000]
  taught: {phases: [float, retrain], set: ["phases.retrain.distillation={teacher: nowhere}"]}
  last: {}
scales:
  smoke: {seeds: [0, 1], variants: [float, plain], set: [training.epochs=1, network.width=8]}
  short:
    seeds: [0]
    variants: [plain, wild, taught, last]
    set: [training.epochs=1, network.width=8]
  full: {seeds: [0], variants: [float], set: [training.epochs=400, network.width=8]}
figures:
  units: {kind: lines, title: By units, x: units}
claims:
  - says: float is better
    source: here
    more: accuracy[small, float]
    than: accuracy[small, plain]
"""


def study_file(folder: Path) -> str:
    path = folder / "mine.yaml"
    path.write_text(STUDY, encoding="utf-8")
    return str(path)


def rows(store: Path, scale: str) -> list[Row]:
    with opened(store) as found:
        return found.rows("mine", scale)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A study of which one trial diverges and one fails, and what was said."""
    folder = tmp_path_factory.mktemp("short")
    said: list[str] = []
    request = Request("short", folder / "store", jobs=1)
    run_study(open_study(study_file(folder)), request, StudyObserver(note=said.append))
    return folder, said


def test_a_trial_that_fails_or_diverges_is_recorded_and_the_study_goes_on(
    short: tuple[Path, list[str]],
) -> None:
    folder, said = short
    found = {row.variant: row for row in rows(folder / "store", "short")}
    states = {variant: row.state for variant, row in found.items()}
    assert states == {"plain": DONE, "wild": DIVERGED, "taught": FAILED, "last": DONE}
    assert "no longer a finite number" in found["wild"].error
    assert "nowhere" in found["taught"].error
    assert any(line.startswith("small wild seed 0 diverged:") for line in said)
    assert any(line.startswith("small taught seed 0 failed:") for line in said)


def test_results_are_those_of_a_training_by_itself(
    short: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, _ = short
    row = next(row for row in rows(folder / "store", "short") if row.variant == "last")
    with opened(folder / "store") as store:
        text = store.connection.execute(
            "SELECT recipe FROM trials WHERE address = ?", (row.address,)
        ).fetchone()[0]
    train(Recipe.model_validate_json(text), tmp_path / "run")
    alone = read_summary(tmp_path / "run") or {}
    together = read_summary(folder / "store" / RUNS / (row.address or "")) or {}
    assert together["files"]["model.safetensors"] == alone["files"]["model.safetensors"]
    phases = {phase["name"]: phase["accuracy"] for phase in alone["phases"]}
    assert {name: one["accuracy"] for name, one in row.result["phases"].items()} == phases
    assert together["started_from"]["phase"] == "retrain"


def test_running_again_trains_nothing(short: tuple[Path, list[str]]) -> None:
    folder, _ = short
    before = rows(folder / "store", "short")
    seen: list[Progress] = []
    observer = StudyObserver(update=seen.append)
    run_study(open_study(study_file(folder)), Request("short", folder / "store"), observer)
    assert seen == []
    assert rows(folder / "store", "short") == before


def test_a_worker_that_is_killed_is_replaced_and_its_trial_goes_on(tmp_path: Path) -> None:
    killed: list[int] = []
    said: list[str] = []

    def kill_first(progress: Progress) -> None:
        if killed or not any("float 5/" in one.note for one in progress.running):
            return
        for child in psutil.Process().children():
            if "qdeploy.study.worker" in child.cmdline():
                killed.append(child.pid)
                child.kill()

    text = STUDY.replace("epochs=400", "epochs=40")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    request = Request("full", tmp_path / "store", jobs=1)
    observer = StudyObserver(note=said.append, update=kill_first)
    run_study(open_study(str(tmp_path / "mine.yaml")), request, observer)
    assert killed
    assert any("was lost (signal 9" in line for line in said)
    (row,) = rows(tmp_path / "store", "full")
    assert row.state == DONE
    metrics = (tmp_path / "store" / RUNS / (row.address or "") / "metrics.jsonl").read_text()
    epochs = [json.loads(line)["epoch"] for line in metrics.splitlines()]
    assert epochs[:40] == list(range(1, 41))


def test_two_runs_of_one_study_at_once_are_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    request = Request("smoke", store)
    given = open_study(study_file(tmp_path))
    with (
        locked(store / ".mine.lock", "the study", "study run"),
        pytest.raises(
            LockedError, match=r"the study `mine` in .* is in use by `qdeploy study run`"
        ),
    ):
        run_study(given, request, StudyObserver())
    assert not (store / RUNS).exists()


def test_a_full_disk_ends_the_study_and_says_so(tmp_path: Path) -> None:
    given = study_file(tmp_path).replace("'", "")
    text = STUDY.replace("network.width=8", "network.width=512")
    Path(given).write_text(text, encoding="utf-8")
    command = f"ulimit -f 512; exec {sys.executable} -m qdeploy study run {given}"
    command += f" --scale smoke --jobs 1 --store {tmp_path / 'store'}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=200)
    assert done.returncode == 2, done.stderr
    assert "error: the disk is full" in done.stderr
    assert "make room on that disk" in done.stderr
    assert {row.state for row in rows(tmp_path / "store", "smoke")} == {"waiting"}


def test_ray_that_is_not_installed_is_said_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    given = open_study(study_file(tmp_path))
    with pytest.raises(StudyError, match=r"pip install 'qdeploy\[ray\]'"):
        run_study(given, Request("smoke", tmp_path / "store", where="ray"), StudyObserver())


def test_a_study_that_only_draws_has_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="qdeploy study show clr"):
        run_study(open_study("clr"), Request("smoke", tmp_path), StudyObserver())


def test_what_starts_from_a_failed_trial_fails_with_it_and_can_be_tried_again(
    tmp_path: Path,
) -> None:
    wild = "network.width=8, phases.float.optimizer.lr=100, phases.float.lipschitz=1000]"
    text = STUDY.replace("network.width=8]", wild)
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    given = open_study(str(tmp_path / "mine.yaml"))
    request = Request("smoke", tmp_path / "store", jobs=1)
    run_study(given, request, StudyObserver())
    found = rows(tmp_path / "store", "smoke")
    assert {row.variant: row.state for row in found} == {"float": DIVERGED, "plain": FAILED}
    assert found[-1].error == f"what it starts from {DIVERGED}"
    said: list[str] = []
    again = Request("smoke", tmp_path / "store", jobs=1, retry=True)
    run_study(given, again, StudyObserver(note=said.append))
    assert len([line for line in said if "diverged:" in line]) == 2  # both seeds, tried again


def test_results_have_measures_in_percent_by_seed(short: tuple[Path, list[str]]) -> None:
    folder, _ = short
    given = open_study(str(folder / "mine.yaml"))
    with opened(folder / "store") as store:
        results = read_results(given, "short", store)
    row = next(row for row in results.rows if row.variant == "plain")
    exact = row.result["phases"]["retrain"]["accuracy"]
    assert results.by_seed("small", "plain", "accuracy") == {0: 100 * exact}
    assert results.by_seed("small", "wild", "accuracy") == {}
    assert results.by_seed("small", "plain", "weights") == {0: 64 * 8 + 2 * 64 + 80}

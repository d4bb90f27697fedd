"""A study that is killed at any moment ends with the same store."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qdeploy.study.store import FILE

STUDY = """
title: mine
networks:
  small: {recipe: quickstart/digits_fcdnn_w2a2}
variants:
  float: {phases: [float]}
  plain: {phases: [float, retrain]}
  last: {}
scales:
  smoke: {seeds: [0], set: [training.epochs=8, network.width=8]}
"""

# Seeds that are trained together.
TOGETHER = """
title: mine
networks:
  plane: {recipe: boo2020/fcdnn128-3_w2a2}
variants:
  float: {phases: [float]}
  w2a2: {phases: [float, retrain]}
scales:
  smoke: {seeds: [0, 1, 2], set: [training.epochs=8, network.width=8, data.batch_size=2000]}
"""


def start(folder: Path, store: str) -> subprocess.Popen[str]:
    words = ["study", "run", str(folder / "mine.yaml"), "--scale", "smoke", "--jobs", "1"]
    words += ["--store", str(folder / store)]
    return subprocess.Popen(
        [sys.executable, "-m", "qdeploy", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def content(path: Path) -> list[tuple[object, ...]]:
    """What the store says, without times, memory, and how often something was tried."""
    sql = sqlite3.connect(path / FILE)
    try:
        trials = sql.execute(
            "SELECT address, recipe, start_from, state, result, error FROM trials ORDER BY address"
        ).fetchall()
        return trials + sql.execute("SELECT * FROM cells ORDER BY rowid").fetchall()
    finally:
        sql.close()


def finished(folder: Path, store: str) -> list[tuple[object, ...]]:
    process = start(folder, store)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return content(folder / store)


def children(pid: int) -> list[str]:
    """Processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return listed.read_text(encoding="ascii").split() if listed.exists() else []


def killed_often(folder: Path, times: int, seed: int, study: str = STUDY) -> None:
    """Run a study undisturbed, then one that is killed `times`: both stores say the same."""
    (folder / "mine.yaml").write_text(study, encoding="utf-8")
    begun = time.monotonic()
    expected = finished(folder, "whole")
    whole = time.monotonic() - begun
    moments = random.Random(seed)
    for number in range(times):
        process = start(folder, "killed")
        time.sleep(moments.uniform(0.1, 0.9 * whole))
        # The last thing that a process can do nothing about, and the one that people do.
        workers = children(process.pid)
        process.send_signal(signal.SIGINT if number % 4 == 3 else signal.SIGKILL)
        process.communicate(timeout=60)
        until = time.monotonic() + 30
        while any(Path(f"/proc/{worker}").exists() for worker in workers):
            assert time.monotonic() < until, "a worker outlived the study"
            time.sleep(0.1)
    assert finished(folder, "killed") == expected


@pytest.mark.slow
def test_a_study_that_is_killed_twice_ends_with_the_same_store(tmp_path: Path) -> None:
    killed_often(tmp_path, 2, seed=1)


@pytest.mark.slow
def test_seeds_that_are_killed_while_they_train_together_end_with_the_same_store(
    tmp_path: Path,
) -> None:
    killed_often(tmp_path, 3, seed=3, study=TOGETHER)


@pytest.mark.slow
@pytest.mark.skipif("QDEPLOY_KILLS" not in os.environ, reason="minutes: set QDEPLOY_KILLS=20")
def test_a_study_that_is_killed_often_ends_with_the_same_store(tmp_path: Path) -> None:
    killed_often(tmp_path, int(os.environ["QDEPLOY_KILLS"]), seed=2)

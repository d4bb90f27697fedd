"""Studies train seeds together where nothing else differs, and end with ordinary runs."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from qdeploy.errors import StudyError
from qdeploy.study.engine import StudyObserver
from qdeploy.study.pool import Ended
from qdeploy.study.reading import open_study
from qdeploy.study.run import Request, run_study
from qdeploy.study.store import DIVERGED, DONE, FILE, opened
from qdeploy.study.trial import RUNS, Job, Reply, run
from qdeploy.training.run import load_run, read_summary
from qdeploy.training.state import all_finite

STUDY = """
title: mine
networks:
  plane: {recipe: boo2020/fcdnn128-3_w2a2}
variants:
  float: {phases: [float]}
  w2a2: {phases: [float, retrain]}
scales:
  smoke:
    seeds: [0, 1, 2]
    set: [training.epochs=1, network.width=8, data.batch_size=2000]
  short:
    seeds: [0, 1]
    variants: [float]
    set: [training.epochs=40, network.width=8, data.batch_size=2000, phases.float.lipschitz=1000,
          phases.float.optimizer.lr=100]
"""


class Recording:
    """One job after another in this process; keeps what it was given.

    Args:
        lose: workers of that many groups.
    """

    def __init__(self, lose: int = 0) -> None:
        self.jobs: list[Job] = []
        self.all: list[Job] = []
        self._lose = lose

    def room(self, mib: float) -> bool:
        return not self.jobs

    def start(self, job: Job, mib: float) -> None:
        self.jobs.append(job)
        self.all.append(job)

    def wait(self, seconds: float) -> list[Ended]:
        lost = self._lose > 0 and any(job.together for job in self.jobs)
        self._lose -= lost
        done = [
            Ended(job.id, None, "signal 9") if lost else Ended(job.id, run(job, lambda _text: None))
            for job in self.jobs
        ]
        self.jobs.clear()
        return done

    def notes(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        """Nothing runs."""


def study(folder: Path, pool: Recording, request: Request) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(STUDY, encoding="utf-8")
    said: list[str] = []
    run_study(open_study(str(path)), request, StudyObserver(note=said.append), pool)
    return said


def seeds_of(pool: Recording) -> list[int]:
    """How many trials each job has."""
    return [len(job.together) for job in pool.all]


def test_seeds_are_trained_together_and_every_one_ends_as_a_run(tmp_path: Path) -> None:
    pool = Recording()
    request = Request("smoke", tmp_path / "store")
    assert study(tmp_path, pool, request) == []
    assert seeds_of(pool) == [3, 0, 0, 0, 3, 0, 0, 0]
    with opened(tmp_path / "store") as store:
        rows = store.rows("mine", "smoke")
        assert {row.state for row in rows} == {DONE}
        assert all(row.seconds is not None and row.seconds > 0 for row in rows)
    for row in rows:
        assert row.address is not None
        made = load_run(tmp_path / "store" / RUNS / row.address)
        assert made.summary["group"] == {"seeds": [0, 1, 2]}
        assert all_finite(made.network.state_dict())
        assert set(row.result["phases"]) >= {"float"}
    again = Recording()
    study(tmp_path, again, request)
    assert again.all == []


def test_one_by_one_trains_nothing_together(tmp_path: Path) -> None:
    pool = Recording()
    study(tmp_path, pool, Request("smoke", tmp_path / "store", one_by_one=True))
    assert seeds_of(pool) == [0] * 6
    for job in pool.all:
        assert "group" not in (read_summary(job.run) or {})


def test_a_group_whose_workers_are_lost_is_trained_one_by_one(tmp_path: Path) -> None:
    pool = Recording(lose=3)
    said = study(tmp_path, pool, Request("smoke", tmp_path / "store"))
    assert len(said) == 3 and all("was lost (signal 9)" in one for one in said)
    assert seeds_of(pool) == [3, 3, 3, 0, 0, 0, 3, 0, 0, 0]
    with opened(tmp_path / "store") as store:
        assert {row.state for row in store.rows("mine", "smoke")} == {DONE}


def test_seeds_that_diverge_are_told_apart_by_trainings_of_their_own(tmp_path: Path) -> None:
    said = study(tmp_path, Recording(), Request("short", tmp_path / "store"))
    assert "no longer finite" in said[0] and "seeds 0, 1" in said[0]
    with opened(tmp_path / "store") as store:
        rows = store.rows("mine", "short")
    assert {row.state for row in rows} == {DIVERGED}
    assert all("no longer a finite number" in row.error for row in rows)


class Full(Recording):
    """Its first trial alone finds the disk full."""

    def wait(self, seconds: float) -> list[Ended]:
        if self.jobs and not self.jobs[0].together:
            return [Ended(job.id, Reply("full", error="no space")) for job in self.jobs]
        return super().wait(seconds)


def test_a_study_that_ends_after_a_group_ends_with_the_same_store(tmp_path: Path) -> None:
    whole, cut = (Request("smoke", tmp_path / name) for name in ("whole", "cut"))
    study(tmp_path, Recording(), whole)
    with pytest.raises(StudyError, match="full"):
        study(tmp_path, Full(), cut)
    study(tmp_path, Recording(), replace(cut))
    found = []
    for name in ("whole", "cut"):
        sql = sqlite3.connect(tmp_path / name / FILE)
        query = "SELECT address, recipe, start_from, state, result FROM trials ORDER BY address"
        found.append(sql.execute(query).fetchall())
        sql.close()
    assert found[0] == found[1]

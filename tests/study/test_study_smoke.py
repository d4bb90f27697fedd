"""Every study that comes with qdeploy runs at its smallest scale."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_trees import write_imagenet

from qdeploy.study.engine import StudyObserver
from qdeploy.study.page import write_page
from qdeploy.study.pool import Ended
from qdeploy.study.reading import open_study, shipped_studies
from qdeploy.study.results import Results, read_results
from qdeploy.study.run import Request, run_study
from qdeploy.study.store import opened
from qdeploy.study.trial import Job, run


class InThisProcess:
    """One job after another, without the seconds that a process takes to load torch."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def room(self, mib: float) -> bool:
        return not self.jobs

    def start(self, job: Job, mib: float) -> None:
        self.jobs.append(job)

    def wait(self, seconds: float) -> list[Ended]:
        done = [Ended(job.id, run(job, lambda _text: None)) for job in self.jobs]
        self.jobs.clear()
        return done

    def notes(self) -> dict[str, str]:
        return {}

    def close(self) -> None:
        """Nothing runs."""


def results_of(name: str, folder: Path, data: Path | None) -> tuple[Results, list[str]]:
    said: list[str] = []
    given = open_study(name)
    request = Request("smoke", folder / "store", data)
    run_study(given, request, StudyObserver(note=said.append), InThisProcess())
    with opened(folder / "store") as store:
        return read_results(given, "smoke", store), said


TRAINING = [name for name in shipped_studies() if open_study(name).study.trains]


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_study_runs_at_smoke_without_any_data_set(name: str, tmp_path: Path) -> None:
    results, said = results_of(name, tmp_path, None)
    assert {row.state: row.error for row in results.rows} == {"done": ""}, said
    page = write_page(results, tmp_path / "pages").read_text(encoding="utf-8")
    assert "What this scale is:" in page
    if name == "imagenet-shapes":
        note = "`imagenet` is missing: `digits` stands in for it"
        assert f"note: {note}" in said
        assert note in page
    else:
        assert said == []


@pytest.mark.slow
def test_the_shapes_of_imagenet_run_on_its_layout(tmp_path: Path) -> None:
    write_imagenet(tmp_path / "data")
    results, said = results_of("imagenet-shapes", tmp_path, tmp_path / "data")
    assert {row.state: row.error for row in results.rows} == {"done": ""}, said
    assert all(row.note == "" for row in results.rows)

"""A real Ray cluster of two workers, of which one is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from qdeploy.errors import StudyError
from qdeploy.study.engine import Progress, StudyObserver
from qdeploy.study.on_ray import RayPool
from qdeploy.study.reading import open_study
from qdeploy.study.run import Request, run_study
from qdeploy.study.store import FILE

pytestmark = pytest.mark.slow
STUDY = """
title: mine
networks:
  small: {recipe: quickstart/digits_fcdnn_w2a2}
variants:
  float: {phases: [float]}
  plain: {phases: [float, retrain]}
scales:
  smoke: {seeds: [0, 1, 2], set: [training.epochs=40, network.width=8]}
"""


def content(folder: Path) -> list[Any]:
    sql = sqlite3.connect(folder / FILE)
    try:
        return sql.execute("SELECT address, state, result FROM trials ORDER BY address").fetchall()
    finally:
        sql.close()


@pytest.fixture(autouse=True)
def workers_take_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers have the lowest priority, and wait for whatever else a machine does."""
    monkeypatch.setenv("RAY_worker_niceness", "0")


def test_a_cluster_that_loses_a_worker_ends_with_the_store_of_one_machine(tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    (tmp_path / "mine.yaml").write_text(STUDY, encoding="utf-8")
    given = open_study(str(tmp_path / "mine.yaml"))
    run_study(given, Request("smoke", tmp_path / "alone", jobs=2), StudyObserver())
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    said: list[str] = []
    lost: list[bool] = []

    def lose_one(progress: Progress) -> None:
        if not lost and len(progress.running) == 2 and progress.done >= 1:
            lost.append(True)
            cluster.remove_node(nodes[0], allow_graceful=False)

    try:
        request = Request(
            "smoke", tmp_path / "cluster", where="ray", jobs=2, address=cluster.address
        )
        run_study(given, request, StudyObserver(note=said.append, update=lose_one))
    finally:
        cluster.shutdown()
    assert lost and any("was lost" in line for line in said)
    assert content(tmp_path / "cluster") == content(tmp_path / "alone")


def test_a_cluster_that_is_not_there_is_said() -> None:
    with pytest.raises(StudyError, match="no Ray cluster is reachable"):
        RayPool(None, 1, address="127.0.0.1:1")

"""The store: versions, other files, a full disk, readers while it is written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from qdeploy.errors import StudyError
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.study.files import Opened, Study
from qdeploy.study.grid import Cell, Plan, Trial
from qdeploy.study.schema import APPLICATION, MIGRATIONS, VERSION
from qdeploy.study.store import DONE, FILE, Outcome, Store, opened


def some_plan(count: int = 1) -> Plan:
    study = Study.model_construct(title="mine")
    recipe = load_recipe(resource("models/quickstart/digits_fcdnn_w2a2.yaml"))
    trials = {f"a{n}": Trial(f"a{n}", recipe) for n in range(count)}
    cells = [Cell("small", "float", n, f"a{n}", "float", True) for n in range(count)]
    return Plan(Opened("mine", Path("mine.yaml"), study, {}), "smoke", {}, cells, trials)


def filled(store: Store) -> None:
    store.plan(some_plan())
    store.finish("a0", Outcome(DONE, {"phases": {}}, seconds=1.5, peak_mib=300.0, maker='{"g": 1}'))


def test_results_are_there_again_after_the_store_was_closed(tmp_path: Path) -> None:
    with opened(tmp_path, make=True) as store:
        filled(store)
    with opened(tmp_path) as store:
        (row,) = store.rows("mine", "smoke")
        assert (row.state, row.result, row.seconds) == (DONE, {"phases": {}}, 1.5)
        assert store.costs() == {"a0": (1.5, 300.0)}
        assert store.makers("mine", "smoke") == [{"g": 1}]


def test_planning_again_keeps_results_and_forgets_cells_that_are_gone(tmp_path: Path) -> None:
    with opened(tmp_path, make=True) as store:
        store.plan(some_plan(3))
        store.finish("a0", Outcome(DONE, {"phases": {}}))
        store.plan(some_plan(1))
        (row,) = store.rows("mine", "smoke")
        assert row.state == DONE
        assert set(store.states()) == {"a0", "a1", "a2"}


def test_another_process_reads_while_a_transaction_is_open(tmp_path: Path) -> None:
    with opened(tmp_path, make=True) as store:
        filled(store)
        store.connection.execute("BEGIN IMMEDIATE")
        store.connection.execute("UPDATE trials SET state = 'failed'")
        with opened(tmp_path) as reader:
            assert reader.states() == {"a0": DONE}
        store.connection.execute("ROLLBACK")


def test_a_store_of_an_older_version_is_brought_up_to_date_and_said(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / FILE)
    old.executescript(MIGRATIONS[0])
    old.execute(
        "INSERT INTO trials (address, recipe, state, result) VALUES ('a', '{}', 'done', '{}')"
    )
    old.execute("INSERT INTO cells VALUES ('mine', 'smoke', 'n', 'v', 0, 'a', 'float', 1, '')")
    old.execute(f"PRAGMA application_id = {APPLICATION}")
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()
    said: list[str] = []
    with opened(tmp_path, note=said.append) as store:
        (row,) = store.rows("mine", "smoke")
        assert row.state == DONE
        store.finish("a", Outcome(DONE, {}, peak_mib=1.0))
    assert said == [f"the store {tmp_path / FILE} was of version 1: it has version {VERSION} now"]
    with opened(tmp_path, note=said.append):
        assert len(said) == 1


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with opened(tmp_path, make=True) as store:
        store.connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StudyError, match="newer version"), opened(tmp_path):
        pass
    assert (tmp_path / FILE).read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StudyError, match="no store of studies"), opened(tmp_path, make=True):
        pass
    assert (tmp_path / FILE).read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"not a database, but long enough to be looked at" * 50)
    with pytest.raises(StudyError, match="damaged, or is no store"), opened(tmp_path):
        pass


def test_a_full_disk_is_said_and_what_was_there_stays(tmp_path: Path) -> None:
    with opened(tmp_path, make=True) as store:
        filled(store)
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StudyError, match="disk is full") as caught:
            store.finish("a0", Outcome(DONE, {"long": "x" * 100_000}))
        assert "make room" in (caught.value.do or "")
        assert store.rows("mine", "smoke")[0].result == {"phases": {}}


def test_showing_before_anything_was_run_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="qdeploy study run"), opened(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []

"""The store of all studies in a folder: one SQLite file, written by the process that runs a study.

Others read it meanwhile (write-ahead log). Every change is one transaction: a process that is
killed at any moment leaves what was finished. A trial is `waiting`, `done`, `failed` (its recipe
or data, or a worker that was lost too often) or `diverged`; none is `running` here, because a
process that is killed could not take that back.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qdeploy.errors import StudyError
from qdeploy.observer import ignore
from qdeploy.study.grid import Plan
from qdeploy.study.schema import APPLICATION, MIGRATIONS, VERSION

FILE = "studies.sqlite"
WAITING, DONE, FAILED, DIVERGED = "waiting", "done", "failed", "diverged"
# Seconds to wait for another process' transaction.
_PATIENCE = 30.0


@dataclass(frozen=True)
class Row:
    """A cell with what came of its trial.

    Args:
        state: of the trial; `left out` where there is none.
        result: what the trial measured, empty unless it is done.
    """

    network: str
    variant: str
    seed: int
    address: str | None
    phase: str
    floating: bool
    note: str
    state: str
    result: dict[str, Any]
    error: str
    seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """What came of a trial or a build."""

    state: str
    result: Mapping[str, Any] | None = None
    error: str = ""
    seconds: float | None = None
    peak_mib: float | None = None
    maker: str = "{}"


class Store:
    """An open store; use `opened`."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection, self.path = connection, path

    def plan(self, plan: Plan) -> None:
        """Make the study's cells at a scale those of `plan`, and add trials that are new.

        Results of trials that no cell uses any more stay: another study may want them.
        """
        name, scale = plan.opened.name, plan.scale
        with self._writing() as sql:
            sql.execute("DELETE FROM cells WHERE study = ? AND scale = ?", (name, scale))
            for trial in plan.trials.values():
                sql.execute(
                    "INSERT INTO trials (address, recipe, start_from) VALUES (?, ?, ?)"
                    " ON CONFLICT (address) DO NOTHING",
                    (trial.key, trial.recipe.model_dump_json(), trial.start_from),
                )
            sql.executemany(
                "INSERT INTO cells VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        name,
                        scale,
                        c.network,
                        c.variant,
                        c.seed,
                        c.trial,
                        c.phase,
                        c.floating,
                        c.note,
                    )
                    for c in plan.cells
                ],
            )

    def finish(self, address: str, outcome: Outcome) -> None:
        """Record what came of a trial."""
        with self._writing() as sql:
            sql.execute(
                "UPDATE trials SET state = ?, result = ?, error = ?, seconds = ?, peak_mib = ?,"
                " attempts = attempts + 1, finished = ?, maker = ? WHERE address = ?",
                (
                    outcome.state,
                    _json(outcome.result),
                    outcome.error,
                    outcome.seconds,
                    outcome.peak_mib,
                    _now(),
                    _maker(sql, outcome.maker),
                    address,
                ),
            )

    def finish_build(self, address: str, board: str, options: str, outcome: Outcome) -> None:
        """Record what came of a build of a trial."""
        with self._writing() as sql:
            sql.execute(
                "INSERT OR REPLACE INTO builds (address, board, options, state, attempts, result,"
                " error, seconds, finished, maker) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?)",
                (
                    address,
                    board,
                    options,
                    outcome.state,
                    _json(outcome.result),
                    outcome.error,
                    outcome.seconds,
                    _now(),
                    _maker(sql, outcome.maker),
                ),
            )

    def forget(self, addresses: Sequence[str]) -> None:
        """Have trials trained again."""
        with self._writing() as sql:
            sql.executemany(
                "UPDATE trials SET state = 'waiting', result = NULL, error = NULL, attempts = 0"
                " WHERE address = ?",
                [(one,) for one in addresses],
            )

    def states(self) -> dict[str, str]:
        """Address -> state of all trials."""
        return dict(self._read("SELECT address, state FROM trials"))

    def costs(self) -> dict[str, tuple[float, float | None]]:
        """Address -> seconds, and the most memory in MiB, of all that is done."""
        found = self._read(
            "SELECT address, seconds, peak_mib FROM trials WHERE state = 'done' AND seconds > 0"
        )
        return {address: (seconds, peak) for address, seconds, peak in found}

    def rows(self, study: str, scale: str) -> list[Row]:
        """The cells of a study in the order of its file, with what came of them."""
        found = self._read(
            "SELECT network, variant, seed, c.address, phase, floating, note, state, result,"
            " error, seconds FROM cells c LEFT JOIN trials t ON c.address = t.address"
            " WHERE study = ? AND scale = ? ORDER BY c.rowid",
            (study, scale),
        )
        return [
            Row(
                network=row[0],
                variant=row[1],
                seed=row[2],
                address=row[3],
                phase=row[4],
                floating=bool(row[5]),
                note=row[6],
                state=row[7] or "left out",
                result=json.loads(row[8]) if row[8] else {},
                error=row[9] or "",
                seconds=row[10],
            )
            for row in found
        ]

    def builds(self, board: str | None = None) -> dict[tuple[str, str], dict[str, Any]]:
        """(Address, options) -> what came of a build: its `state`, `error`, and figures."""
        found = self._read(
            "SELECT address, options, board, state, result, error FROM builds"
            + ("" if board is None else " WHERE board = ?"),
            () if board is None else (board,),
        )
        return {
            (address, options): {
                "board": made_for,
                "state": state,
                "error": error,
                **(json.loads(result) if result else {}),
            }
            for address, options, made_for, state, result, error in found
        }

    def scales(self, study: str) -> list[str]:
        """Scales at which a study was run."""
        return [
            s for (s,) in self._read("SELECT DISTINCT scale FROM cells WHERE study = ?", (study,))
        ]

    def makers(self, study: str, scale: str) -> list[dict[str, Any]]:
        """Provenance of the results of a study, each once."""
        found = self._read(
            "SELECT DISTINCT m.record FROM cells c JOIN trials t ON c.address = t.address"
            " JOIN makers m ON t.maker = m.id WHERE study = ? AND scale = ?",
            (study, scale),
        )
        return [json.loads(record) for (record,) in found]

    def _read(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with _explained(self.path):
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with _explained(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise


@contextlib.contextmanager
def opened(
    folder: Path, *, make: bool = False, note: Callable[[str], None] = ignore
) -> Iterator[Store]:
    """The store in a folder.

    Args:
        make: make it where there is none.
        note: hears of a store of an older version that is brought up to date.

    Raises:
        StudyError: there is none, it is none, is damaged, of a newer version, or the disk is full.
    """
    path = folder / FILE
    if not make and not path.is_file():
        raise StudyError(
            f"there is no store of studies in `{folder}`",
            where=str(path),
            do="run a study first: `qdeploy study run NAME`",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with _explained(path):
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    try:
        with _explained(path):
            _migrate(connection, path, note)
        yield Store(connection, path)
    finally:
        connection.close()


def _migrate(sql: sqlite3.Connection, path: Path, note: Callable[[str], None]) -> None:
    version, application = (_pragma(sql, name) for name in ("user_version", "application_id"))
    if version == 0 and application == 0:
        if sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise _not_a_store(path)
    elif application != APPLICATION:
        raise _not_a_store(path)
    if version > VERSION:
        raise StudyError(
            "the store is of a newer version of qdeploy",
            where=str(path),
            why=f"it has version {version}, and this one knows versions up to {VERSION}",
            do="use the newer qdeploy, or another folder with --store",
        )
    sql.execute("PRAGMA journal_mode = WAL")
    sql.execute("PRAGMA synchronous = FULL")
    if version == VERSION:
        return
    sql.execute("BEGIN IMMEDIATE")
    try:
        version = _pragma(sql, "user_version")  # another process may have been first
        for script in MIGRATIONS[version:]:
            for statement in filter(str.strip, script.split(";")):
                sql.execute(statement)
        sql.execute(f"PRAGMA application_id = {APPLICATION}")
        sql.execute(f"PRAGMA user_version = {VERSION}")
        sql.execute("COMMIT")
    except BaseException:
        if sql.in_transaction:
            sql.execute("ROLLBACK")
        raise
    if version:
        note(f"the store {path} was of version {version}: it has version {VERSION} now")


def _pragma(sql: sqlite3.Connection, name: str) -> int:
    return int(sql.execute(f"PRAGMA {name}").fetchone()[0])


def _not_a_store(path: Path) -> StudyError:
    return StudyError(
        f"`{path.name}` is no store of studies",
        where=str(path),
        why="it is another program's file",
        do="choose another folder with --store",
    )


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """SQLite's errors as errors for people."""
    try:
        yield
    except sqlite3.OperationalError as error:
        text = str(error)
        if "full" in text:
            do = "make room on that disk, then run the study again: what is finished stays"
        elif "locked" in text:
            do = "wait until the other process has written, then try again"
        else:
            do = "check whether the folder can be written, and is on a disk of this machine"
        raise StudyError(f"the store cannot be used: {text}", where=str(path), do=do) from error
    except sqlite3.DatabaseError as error:
        raise StudyError(
            "the store is damaged, or is no store",
            where=str(path),
            why=str(error),
            do="put a copy of it back, or choose another folder with --store",
        ) from error


def _maker(sql: sqlite3.Connection, record: str) -> int:
    sql.execute("INSERT OR IGNORE INTO makers (record) VALUES (?)", (record,))
    return int(sql.execute("SELECT id FROM makers WHERE record = ?", (record,)).fetchone()[0])


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, allow_nan=False)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

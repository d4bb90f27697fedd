"""The lock of a folder, between real processes: one writes, the others are told who."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from qdeploy.errors import LockedError
from qdeploy.folder_lock import LOCK_FILE, holder_of, locked

HOLD = """\
import sys, time
from pathlib import Path
from qdeploy.folder_lock import locked
with locked(Path(sys.argv[1]), "the folder `x`", "train"):
    print("held", flush=True)
    sys.stdin.readline()
"""
COUNT = """\
import sys
from pathlib import Path
from qdeploy.errors import LockedError
from qdeploy.folder_lock import locked
lock, number, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
done = refused = 0
while done < rounds:
    try:
        with locked(lock, "the folder `x`", "train"):
            number.write_text(str(int(number.read_text()) + 1))
            done += 1
    except LockedError:
        refused += 1
print(refused)
"""


def start(program: str, *words: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *(str(word) for word in words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process holds the lock."""
    process = start(HOLD, path)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / LOCK_FILE


@pytest.fixture
def without_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that has no such locks."""

    def flock(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)


def left_behind(path: Path, **changes: Any) -> dict[str, Any]:
    """What a killed process left at `path`, with changes to its text."""
    with held_elsewhere(path):
        pass
    data: dict[str, Any] = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(data))
    return data


def take(path: Path) -> list[str]:
    """Notes of taking the lock."""
    notes: list[str] = []
    with locked(path, "the folder `x`", "export", notes.append):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    return notes


def test_it_leaves_nothing_not_even_the_folder_that_it_made(tmp_path: Path, path: Path) -> None:
    assert take(path.parent / "deep" / LOCK_FILE) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="went wrong"), locked(path, "x", "train"):
        raise ValueError("went wrong")
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_told_who_holds_it_and_since_when(path: Path) -> None:
    with held_elsewhere(path) as process:
        before = path.read_text()
        with pytest.raises(LockedError) as caught, locked(path, "the folder `x`", "export"):
            pass
        assert caught.value.exit_code == 2
        since = json.loads(before)["since"]
        assert caught.value.what == (
            f"the folder `x` is in use by `qdeploy train`, process {process.pid} on "
            f"{platform.node()}, since {since}"
        )
        assert str(process.pid) in (caught.value.do or "")
        assert path.read_text() == before
        found = holder_of(path)
        assert found is not None and found.pid == process.pid
        assert process.communicate("end\n")[1] == ""
    assert not path.parent.exists()
    assert holder_of(path) is None


def test_two_in_one_process_exclude_each_other_too(path: Path) -> None:
    with locked(path, "x", "train"):
        with pytest.raises(LockedError, match=str(os.getpid())), locked(path, "x", "train"):
            pass
        assert path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_holds_it_no_longer(path: Path, number: signal.Signals) -> None:
    with held_elsewhere(path) as process:
        process.send_signal(number)
        process.communicate()
    assert path.exists() == (number != signal.SIGINT)
    notes = take(path)
    if number == signal.SIGINT:
        assert notes == []
    else:
        assert len(notes) == 1
        assert f"process {process.pid} on " in notes[0] and "is taken over" in notes[0]


def taken_over(path: Path, changes: dict[str, Any], stale: bool) -> LockedError | None:
    """Asserts that a lock that was left behind is taken over with a note if it is stale; else the
    error that refuses it."""
    left_behind(path, **changes)
    if stale:
        assert len(take(path)) == 1
        return None
    with pytest.raises(LockedError, match="on elsewhere, since") as caught:
        take(path)
    return caught.value


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, True),
        ({"pid": os.getpid()}, True),  # its number is now another process's: this one's
        ({"host": "elsewhere"}, True),  # a container of this machine
        ({"boot": "before"}, True),  # the machine was started anew
        ({"host": "elsewhere", "boot": "other"}, False),
        ({"host": "elsewhere", "boot": "other", "inode": 1}, True),  # copied with its folder
    ],
)
def test_who_left_it_behind_tells_whether_it_is_stale(
    path: Path, changes: dict[str, Any], stale: bool
) -> None:
    error = taken_over(path, changes, stale)
    if error is not None:
        assert f"remove {path}" in (error.do or "")
        assert path.exists()


@pytest.mark.usefixtures("without_flock")
@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({}, True),
        ({"pid": os.getpid()}, True),
        ({"boot": "before"}, True),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "boot": "other"}, False),
        ({"inode": 1}, True),
    ],
)
def test_without_flock_the_process_itself_is_looked_for(
    path: Path, changes: dict[str, Any], stale: bool
) -> None:
    assert (taken_over(path, changes, stale) is None) == stale


@pytest.mark.usefixtures("without_flock")
def test_without_flock_a_process_that_runs_keeps_it(path: Path) -> None:
    with held_elsewhere(path) as process:
        with pytest.raises(LockedError, match=f"process {process.pid} on"):
            take(path)
        assert process.communicate("end\n")[1] == ""
    assert take(path) == []
    with locked(path, "x", "train"), pytest.raises(LockedError, match=str(os.getpid())):
        take(path)


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"pid": "1"}', "[" * 3000, "\xff"])
def test_a_lock_file_with_any_text_is_one_that_nobody_holds(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text, encoding="latin-1")
    assert holder_of(path) is None
    assert take(path) == []


def test_processes_that_a_killed_one_left_behind_are_told_from_it(path: Path) -> None:
    child = "import os\n" + HOLD.replace(
        'print("held", flush=True)', 'sys.stdin = open(0) if os.fork() else open("/dev/zero")'
    ).replace("sys.stdin.readline()", 'print("held", flush=True); time.sleep(60)')
    process = start(child, path)
    group = process.pid
    assert process.stdout is not None
    process.stdout.readline()  # both
    children = Path(f"/proc/{group}/task/{group}/children").read_text().split()
    process.kill()
    process.wait()
    try:
        with pytest.raises(LockedError, match="left behind by `qdeploy train`"):
            take(path)
    finally:
        for one in children:
            os.kill(int(one), signal.SIGKILL)
        process.communicate()
    end = time.monotonic() + 10
    while path.exists() and time.monotonic() < end:
        try:
            take(path)
        except LockedError:
            time.sleep(0.05)
    assert not path.exists()


def test_many_processes_never_hold_it_together(tmp_path: Path) -> None:
    number, lock = tmp_path / "number", tmp_path / "deep" / "folder" / LOCK_FILE
    number.write_text("0")
    processes = [start(COUNT, lock, number, 150) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=60) for process in processes]
    assert [errors for _, errors in ends] == [""] * 4
    assert int(number.read_text()) == 4 * 150
    assert not lock.exists()


def test_a_copied_folder_is_nobodys(tmp_path: Path, path: Path) -> None:
    with held_elsewhere(path):
        copy = shutil.copytree(path.parent, tmp_path / "copy")
        assert len(take(copy / LOCK_FILE)) == 1
        with pytest.raises(LockedError):
            take(path)

"""One writer for a folder: a lock file that says who writes, held by the kernel while they do.

The lock is `flock`'s, which ends with its process however that ends; the file's text is for people
and for disks that several machines share. A file that a killed process left behind is stale:

    this machine, nobody holds it             taken over, with a note
    this machine, a disk without `flock`      the same when that process has ended (its number may
                                              be another process's by now: its start time tells)
    another machine                           refused: from here nobody can tell

The file is gone after a normal end, an error, or an interrupt.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from qdeploy.bounded import parse_json
from qdeploy.errors import LockedError
from qdeploy.observer import ignore

# Inside a folder that stays in its place, such as a run's.
LOCK_FILE = ".lock"
_MOST = 4096  # bytes of a lock file
_PATIENCE = 0.5  # seconds until who has just taken a lock has written who they are
_TRIES = 100


@dataclass(frozen=True)
class Holder:
    """The text of a lock file: a process.

    Args:
        pid, started: its number, and its start in clock ticks after the machine's; 0 if unknown.
        host: the machine's name.
        boot: of this start of the machine; equal in its containers, whose names differ.
        since: when it took the lock, as people write it.
        use: the command that holds it.
        inode: of the lock file; another number tells a copy.
    """

    pid: int
    started: int
    host: str
    boot: str
    since: str
    use: str
    inode: int

    @property
    def sentence(self) -> str:
        """Who holds it, since when."""
        return f"`qdeploy {self.use}`, process {self.pid} on {self.host}, since {self.since}"

    @property
    def here(self) -> bool:
        """Whether it is a process of this machine, or of its containers; it may have ended."""
        return self.host == platform.node() or (self.boot != "" and self.boot == _boot())

    @property
    def gone(self) -> bool:
        """Whether it has ended for certain; numbers of processes mean something here only."""
        running = self.boot == _boot() and self.started == _started(self.pid) != 0
        return self.host == platform.node() and not running


@contextlib.contextmanager
def locked(path: Path, what: str, use: str, note: Callable[[str], None] = ignore) -> Iterator[None]:
    """Hold the lock file `path`; its folder is made when missing, and goes again if it stays empty.

    Args:
        what: is locked, for messages, such as "the run folder `runs/mine`".
        use: the command that locks it, such as "train".
        note: hears of a stale lock that is taken over.

    Raises:
        LockedError: another process holds it, or may hold it.
    """
    with _folder_of(path):
        handle = _take(path, what, use, note)
        try:
            yield
        finally:
            _release(handle, path)


def holder_of(path: Path) -> Holder | None:
    """Who holds the lock file `path` as far as its text tells; None when they have ended."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        holder = _read(handle)
    finally:
        os.close(handle)
    return None if holder is None or holder.gone else holder


@contextlib.contextmanager
def _folder_of(path: Path) -> Iterator[None]:
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        yield
    finally:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _take(path: Path, what: str, use: str, note: Callable[[str], None]) -> int:
    """An open file that holds the lock."""
    start = time.monotonic()
    while (waited := time.monotonic() - start) < 10 * _PATIENCE:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # it went just now: the next try makes it
            handle, new = _open(path)
            # An interrupt may come at any step: what is undone is undone once, or a file that was
            # opened since would be closed.
            with contextlib.ExitStack() as undo:
                undo.callback(os.close, handle)
                try:
                    if _hold(handle, path, new, what, waited < _PATIENCE, note):
                        _write(handle, use)
                        undo.pop_all()
                        return handle
                except LockedError:
                    raise
                except BaseException:
                    if new:
                        _remove(handle, path)
                    raise
        time.sleep(0.01)
    raise LockedError(
        f"{what} is in use: its lock changes hands all the time",
        where=str(path),
        do="end the other processes, then try again",
    )


def _open(path: Path) -> tuple[int, bool]:
    """The file, and whether it was made here."""
    with contextlib.suppress(FileExistsError):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    return os.open(path, os.O_RDWR), False


def _hold(
    handle: int, path: Path, new: bool, what: str, patient: bool, note: Callable[[str], None]
) -> bool:
    """Whether the open file is now this process's lock; if not, it is worth another try.

    Args:
        patient: try again where the holder may be about to say who they are.

    Raises:
        LockedError: it is somebody else's.
    """
    got = _flock(handle)
    if got is not False and not _is_at(handle, path):
        return False  # its holder removed it just now
    if new and got is not False:
        return True
    holder = _read(handle)
    if got and holder is None:
        return True  # whoever made it has not got as far as writing
    if holder is not None and _is_stale(holder, got, os.fstat(handle).st_ino):
        note(f"the lock of {holder.sentence}, is taken over: no such process runs any more")
        if got:
            return True
        path.unlink(missing_ok=True)  # without `flock`, only making the file is exclusive
        return False
    if patient and (holder is None or holder.gone):
        return False
    raise _refusal(holder, path, what)


def _flock(handle: int) -> bool | None:
    """Whether it is held now; None on a file system without such locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_stale(holder: Holder, got: bool | None, inode: int) -> bool:
    """Whether a lock file that was there is of somebody who holds it no more."""
    if got is False:
        return False
    if holder.inode != inode:
        return True  # it came with a copy of its folder
    return holder.here if got else holder.gone


def _release(handle: int, path: Path) -> None:
    _remove(handle, path)
    os.close(handle)


def _remove(handle: int, path: Path) -> None:
    if _is_at(handle, path):
        with contextlib.suppress(OSError):
            path.unlink()


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False


def _write(handle: int, use: str) -> None:
    me = Holder(
        pid=os.getpid(),
        started=_started(os.getpid()),
        host=platform.node(),
        boot=_boot(),
        since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        use=use,
        inode=os.fstat(handle).st_ino,
    )
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(asdict(me)).encode() + b"\n", 0)


def _read(handle: int) -> Holder | None:
    """None for a text that is not one of `_write`."""
    try:
        data = parse_json(os.pread(handle, _MOST, 0).decode())
        kinds = {"pid": int, "started": int, "inode": int}
        texts = dict.fromkeys(("host", "boot", "since", "use"), str)
        found = {key: data[key] for key in {**kinds, **texts}}
        if any(type(found[key]) is not kind for key, kind in {**kinds, **texts}.items()):
            return None
        return Holder(**found)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refusal(holder: Holder | None, path: Path, what: str) -> LockedError:
    if holder is None:
        who, do = "another process", f"wait for it; if there is none, remove {path}"
    elif holder.gone:
        who = f"processes left behind by {holder.sentence}"
        do = "wait for them, or end them"
    elif holder.here:
        who, do = holder.sentence, f"wait for it, or end process {holder.pid}"
    else:
        who = holder.sentence
        do = (
            f"wait for it; when process {holder.pid} no longer runs on {holder.host}, which cannot "
            f"be told from here, remove {path}"
        )
    return LockedError(
        f"{what} is in use by {who}",
        where=str(path),
        why="two processes that write one folder would mix what they write",
        do=do,
    )


def _started(pid: int) -> int:
    """When a process began, in clock ticks after the machine's start; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        state, *numbers = text.rpartition(")")[2].split()  # the name before may hold anything
        return 0 if state in "ZX" else int(numbers[18])
    except (OSError, ValueError, IndexError):
        return 0


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""

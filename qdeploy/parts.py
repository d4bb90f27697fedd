"""Files and folders that are not finished yet: named so that they are known again, and locked.

A part lies beside what it becomes, as `.NAME.qdeploy-TOKEN.part`, and is locked (flock) by the
process that writes it: the system drops the lock when that process ends, however it ends. So an
unlocked part is what a killed process left, and the next one that works in the folder removes it.
A part of a process that lives is never touched, whatever machine or container it runs in.

A folder takes its name in one step where the system can exchange two names (Linux, most file
systems). Elsewhere it takes two renames: what was there goes aside as `.NAME.qdeploy-TOKEN.old`,
then the part takes the name. The first happens only when the part is complete; so where a kill
came between them, `tidy` does the second.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

_NAME = re.compile(r"\.(?P<name>.+)\.qdeploy-[0-9a-f]{12}\.(?P<kind>part|old)", re.DOTALL)
_NOT_LOCKED_HERE = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_own: set[Path] = set()
_tidied: set[Path] = set()
os.register_at_fork(after_in_child=_own.clear)  # the parts of its parent


@contextlib.contextmanager
def part_of(path: Path, *, folder: bool) -> Iterator[Path]:
    """Yield a new empty part of `path`, locked, for this user only; what is left of it goes."""

    def name() -> Path:
        return path.with_name(f".{path.name}.qdeploy-{secrets.token_hex(6)}.part")

    with held(name, folder) as part:
        yield part


@contextlib.contextmanager
def held(name: Callable[[], Path], folder: bool) -> Iterator[Path]:
    """Make a file or folder under a name that nobody has, hold its lock, remove it in the end."""
    while True:
        path = name()
        _own.add(path)  # first: a signal may come between any two lines
        lock = -1
        try:
            lock = _make(path, folder)
            if lock < 0:
                continue
            yield path
            return
        finally:
            remove(path)
            _own.discard(path)
            if lock >= 0:
                os.close(lock)


def _make(path: Path, folder: bool) -> int:
    """Make `path` and return the descriptor that holds its lock; -1: somebody tidied it away."""
    if folder:
        path.mkdir(mode=0o700)
        flags = os.O_RDONLY | os.O_DIRECTORY
    else:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    try:
        lock = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        if folder:
            return -1
        raise
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        here = _is_at(lock, path)
    except OSError as error:
        # Without locks on this file system, parts stay, since nobody can lock them to remove them.
        here = error.errno in _NOT_LOCKED_HERE
    if not here:
        os.close(lock)
        return -1
    return lock


def remove(path: Path) -> None:
    """Remove a file, link or folder; none there is fine, and so is one that does not go."""
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def remove_if_dead(path: Path) -> bool:
    """Remove what a process made that has ended; whether it did. One of a living process stays, and
    so does one of another user."""
    with _taken(path) as taken:
        if taken:
            remove(path)
        return taken


def remove_own() -> None:
    """Remove the parts that this process still has: for its end, when nothing works on them."""
    for path in list(_own):
        remove(path)


def tidy(folder: Path) -> None:
    """Remove what killed processes left in `folder`, and finish what they were about to name.

    Looks at names in `folder` only, not below it. What cannot be read or removed stays.
    """
    for entry in _entries(folder):
        found = _NAME.fullmatch(entry)
        if found is None:
            continue
        if found["kind"] == "old":
            _recover(folder / entry, folder / found["name"])
        elif not (folder / entry).with_suffix(".old").exists():
            remove_if_dead(folder / entry)


def tidy_once(folder: Path) -> None:
    """`tidy`, the first time that this process asks it for `folder`: cheap on every write."""
    key = folder.absolute()
    if key not in _tidied:
        _tidied.add(key)
        tidy(folder)


def _recover(aside: Path, path: Path) -> None:
    """Finish a swap of two renames: the complete part takes the name, what was there goes."""
    part = aside.with_suffix(".part")
    with _taken(part) as taken:
        if not taken and part.exists():
            return  # a living process is between its renames
        if not os.path.lexists(path):
            with contextlib.suppress(OSError):
                (part if taken else aside).rename(path)
        elif taken:
            remove(part)
    if os.path.lexists(path) and _is_own(aside):
        remove(aside)


@contextlib.contextmanager
def _taken(path: Path) -> Iterator[bool]:
    """Take the lock of `path`; False where a living process has it, or it is not this user's."""
    lock = _lock_of(path)
    try:
        yield lock is not None and _is_at(lock, path)
    finally:
        if lock is not None:
            os.close(lock)


def _lock_of(path: Path) -> int | None:
    """A descriptor that holds the lock of this user's file or folder; None where there is none."""
    try:
        state = path.lstat()
        folder = stat.S_ISDIR(state.st_mode)
        if state.st_uid != os.geteuid() or not (folder or stat.S_ISREG(state.st_mode)):
            return None
        flags = os.O_RDONLY | os.O_DIRECTORY if folder else os.O_RDWR
        lock = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path`."""
    try:
        there, here = path.lstat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def _entries(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def swap(part: Path, path: Path) -> None:
    """Give the complete folder `part` the name `path`, and remove what had that name."""
    if not os.path.lexists(path):
        part.rename(path)
        return
    if _exchange(part, path):
        remove(part)
        return
    aside = part.with_suffix(".old")
    path.rename(aside)
    part.rename(path)
    remove(aside)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    import ctypes

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def sync(path: Path) -> None:
    """Have the system write a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for folder, _, files in os.walk(path):
            for name in files:
                if not (Path(folder) / name).is_symlink():  # a link is only a name
                    _sync(Path(folder) / name)
            _sync(Path(folder))
    else:
        _sync(path)


def sync_names(folder: Path) -> None:
    """Have the system write the names in `folder` to the disk: a rename lasts only then."""
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has no such thing
            raise
    finally:
        os.close(descriptor)

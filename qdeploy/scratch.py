"""Folders for temporary files: private, with a plain path, and gone with the process.

Every one is made for this user only (mode 0700) under a name that cannot be guessed, and locked.
What a killed process left is removed by the next one that needs such a folder.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from qdeploy.errors import UserError
from qdeploy.parts import held, remove_if_dead

# Paths that make, Yosys and the shell take as they stand.
_PLAIN = re.compile(r"[A-Za-z0-9_./+@,=-]+", re.ASCII)
_NAME = re.compile(r"qdeploy-[a-z]+-[0-9a-f]{16}")
# Where the folder for temporary files has another kind of path.
_OTHERS = (Path("/tmp"), Path("/var/tmp"))


def is_plain(path: Path) -> bool:
    """Whether no program takes a character of `path` for anything but itself."""
    return _PLAIN.fullmatch(str(path)) is not None


@contextlib.contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Yield a new private folder with a plain path; it goes at the end.

    Args:
        purpose: a word of small letters, part of its name.

    Raises:
        UserError: there is no place for it; see `scratch_base`.
    """
    base = scratch_base()
    with held(lambda: base / f"qdeploy-{purpose}-{secrets.token_hex(8)}", folder=True) as folder:
        yield folder


@functools.cache
def folder_of_process(purpose: str) -> Path:
    """A private folder that stays until this process ends; the same one for the same purpose."""
    stack = ExitStack()
    folder = stack.enter_context(scratch_folder(purpose))
    owner = os.getpid()

    def close() -> None:
        if os.getpid() == owner:  # a forked copy of the process leaves it
            stack.close()

    atexit.register(close)
    return folder


def scratch_base() -> Path:
    """The folder for temporary files, with a plain path; the first call removes from it what killed
    processes left.

    Raises:
        UserError: neither TMPDIR nor the system's folders can be written and have a plain path.
    """
    return _base(tempfile.gettempdir())


@functools.cache
def _base(chosen: str) -> Path:
    for base in (Path(chosen), *_OTHERS):
        if is_plain(base) and base.is_dir() and os.access(base, os.W_OK | os.X_OK):
            with contextlib.suppress(OSError):
                for entry in base.iterdir():
                    if _NAME.fullmatch(entry.name):
                        remove_if_dead(entry)
            return base
    raise UserError(
        f"the folder for temporary files cannot be used: `{chosen}`",
        why="make and Yosys take no path with a space or a special character",
        do="set TMPDIR to a folder with a plain path that you may write to",
    )

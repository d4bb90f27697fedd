"""Writing files so that nothing half-written is ever read: temporary name first, then rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qdeploy.bounded import read_json
from qdeploy.parts import part_of, swap, sync, sync_names, tidy_once


@contextlib.contextmanager
def atomic_path(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it goes.

    Args:
        durable: it is on the disk when this returns, also if the power fails then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tidy_once(path.parent)
    with part_of(path, folder=False) as temporary:
        yield temporary
        temporary.chmod(0o644)
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync_names(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it replaces `path`, on failure it goes.

    A link at `path` stays one: what it leads to is replaced.

    Args:
        durable: it is on the disk when this returns, also if the power fails then.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    tidy_once(path.parent)
    with part_of(path, folder=True) as temporary:
        yield temporary
        temporary.chmod(0o755)
        if durable:
            sync(temporary)
        swap(temporary, path)
        if durable:
            sync_names(path.parent)


@contextlib.contextmanager
def usable_folder(path: Path) -> Iterator[None]:
    """`path` as a folder, with those above it; what was made and stayed empty goes if the block
    fails.

    Raises:
        OSError: when there can be no folder.
    """
    made = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # something lies in it
            for one in made:
                one.rmdir()
        raise


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write `text` to `path` atomically (UTF-8); `durable` as in `atomic_path`."""
    with atomic_path(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any, *, durable: bool = False) -> None:
    """Write `data` as indented JSON to `path` atomically; `durable` as in `atomic_path`.

    Raises:
        ValueError: a number is not finite, which JSON has no words for.
    """
    text = json.dumps(data, indent=2, allow_nan=False) + "\n"
    write_text(path, text, durable=durable)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


SEAL = "seal.json"


def seal(folder: Path) -> None:
    """Write the SHA-256 of every file of `folder` into it, so that `sealed` knows them again."""
    digests = {str(path.relative_to(folder)): sha256(path) for path in _files(folder)}
    write_json(folder / SEAL, digests)


def sealed(folder: Path) -> bool:
    """Whether `folder` holds just what it did when it was sealed: nothing cut, lost or changed."""
    try:
        digests: dict[str, str] = read_json(folder / SEAL)
        return digests == {str(path.relative_to(folder)): sha256(path) for path in _files(folder)}
    except (OSError, ValueError):
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL]

"""Digests of a design's files, and the id that a bitstream and its package know each other by."""

from __future__ import annotations

import hashlib
from pathlib import Path

from qdeploy.artifacts import sha256
from qdeploy.bounded import is_named_file
from qdeploy.design.manifest import DESIGN_FILE, Design
from qdeploy.errors import UserError


def design_digests(folder: Path, design: Design) -> dict[str, str]:
    """Name -> hex SHA-256 of every file of a design: sources, memories and the manifest.

    Args:
        folder: of the design.

    Raises:
        UserError: it lacks a file.
    """
    names = sorted({*design.sources, *design.memories, DESIGN_FILE})
    return {name: _digest(folder, name) for name in names}


def design_id(folder: Path, design: Design) -> str:
    """First eight hexadecimal digits of a hash over the design's sources and memories.

    Raises:
        UserError: as `design_digests`.
    """
    hasher = hashlib.sha256()
    for name in sorted([*design.sources, *design.memories]):
        hasher.update(f"{name}:{_digest(folder, name)};".encode())
    return hasher.hexdigest()[:8]


def _digest(folder: Path, name: str) -> str:
    path = folder / name
    if not is_named_file(path):
        raise UserError(
            f"the design lacks its file `{name}`",
            where=str(folder),
            do="run `qdeploy export` again",
        )
    return sha256(path)

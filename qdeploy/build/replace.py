"""What a build may replace: nothing, or a build of the same source.

The same source is the same path, of a run with the same recipe: a run that was trained further and
a file that was written again may be built again. So may the same network from another path.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from qdeploy.build.digests import FILES
from qdeploy.build.source import Source
from qdeploy.build_folder import (
    BUILD_FILE,
    read_build,
)
from qdeploy.build_records import (
    BuildRecord,
)
from qdeploy.errors import UserError
from qdeploy.folder_lock import locked
from qdeploy.observer import ignore
from qdeploy.parts import tidy

_SHOWN = 12  # digits of a digest


def locked_build(
    folder: Path, use: str, note: Callable[[str], None] = ignore
) -> AbstractContextManager[None]:
    """Keep the build folder for the command `use`, which writes it; as `folder_lock.locked`.

    The lock file is beside the folder, which a build replaces as a whole. Where nothing can be
    written there, no build can replace it either, and there is no lock.
    """
    whole = Path(os.path.realpath(folder))
    if whole.parent.exists() and not os.access(whole.parent, os.W_OK, effective_ids=True):
        return nullcontext()
    return locked(whole.parent / f".{whole.name}.lock", f"the build folder `{folder}`", use, note)


def check_replaceable(
    folder: Path, path: Path, source: Source, force: bool, note: Callable[[str], None] = ignore
) -> None:
    """Whether a build of `source`, which is at `path`, may take the place of what is in `folder`.

    Args:
        force: replace also the build of another source.
        note: hears of a build that is replaced although its network was another one.

    Raises:
        UserError: it holds something that is no build, or a build of another source.
    """
    # A build that was killed between its last two steps takes its place before it is asked for.
    tidy(Path(os.path.realpath(folder)).parent)
    if not (folder / BUILD_FILE).exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(
                f"`{folder}` exists and is not a build",
                why="a build replaces the whole folder",
                do="give another folder with --out, or remove it yourself",
            )
        return
    if force:
        return
    record = read_build(folder) or BuildRecord()
    known = record.get("source", {})
    files = _texts(known.get(FILES))
    if files and sorted(files.values()) == sorted(source.files.values()):
        return
    before, now = record.get("options", {}).get("source"), str(path.resolve())
    # Older builds have no digests: their path is all there is.
    if before == now and known.get("recipe_sha256") in (None, source.recipe_sha256):
        if files:
            note(f"note: `{path}` has changed since the build that is replaced")
        return
    raise UserError(
        f"`{folder}` holds a build of `{before or 'an unknown source'}`, not of `{now}`"
        if before != now
        else f"`{folder}` holds a build of another recipe of the run `{now}`",
        where=str(folder / BUILD_FILE),
        why="; ".join([f"{_maker(record)} made it", *_differences(files, source.files)]),
        do="give another folder with --out, or replace that build with --force",
    )


def _maker(record: BuildRecord) -> str:
    """What made a build, as far as its record tells, and what it called the network."""
    version, revision = record.get("versions", {}).get("qdeploy", ""), record.get("git")
    name = f" (as `{record['name']}`)" if "name" in record else ""
    return f"qdeploy {version}{f' at {revision}' if revision else ''}".strip() + name


def _differences(files: dict[str, str], now: Mapping[str, str]) -> list[str]:
    """Digests of what was read of both sources; nothing where those of the build are unknown."""
    return [
        f"{name} has the digest {digest[:_SHOWN]}…, "
        + (f"its was {files[name][:_SHOWN]}…" if name in files else "it read none of that name")
        for name, digest in now.items()
        if files and files.get(name) != digest
    ]


def _texts(found: Any) -> dict[str, str]:
    """`found` as texts by name; empty where a record holds something else."""
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        return {}
    return found

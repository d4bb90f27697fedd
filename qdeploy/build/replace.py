"""What a build may replace: nothing, or a build of the same source.

The same source is the same path, of a run with the same recipe: a run that was trained further and
a file that was written again may be built again. So may the same network from another path.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from qdeploy.build.source import Source
from qdeploy.build_folder import BUILD_FILE, BuildRecord, read_build
from qdeploy.errors import UserError
from qdeploy.folder_lock import locked
from qdeploy.observer import ignore


def locked_build(
    folder: Path, use: str, note: Callable[[str], None] = ignore
) -> AbstractContextManager[None]:
    """Keep the build folder for the command `use`, which writes it; as `folder_lock.locked`.

    The lock file is beside the folder, which a build replaces as a whole.
    """
    whole = folder.absolute()
    return locked(whole.parent / f".{whole.name}.lock", f"the build folder `{folder}`", use, note)


def check_replaceable(folder: Path, path: Path, source: Source, force: bool) -> None:
    """Whether a build of `source`, which is at `path`, may take the place of what is in `folder`.

    Args:
        force: replace also the build of another source.

    Raises:
        UserError: it holds something that is no build, or a build of another source.
    """
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
    files: dict[str, str] = known.get("files", {})
    if files and sorted(files.values()) == sorted(source.files.values()):
        return
    before, now = record.get("options", {}).get("source"), str(path.resolve())
    # Older builds have no digests: their path is all there is.
    if before == now and known.get("recipe_sha256") in (None, source.recipe_sha256):
        return
    differ = [
        f"{name}: {files.get(name, 'unknown')[:12]} there, {digest[:12]} here"
        for name, digest in source.files.items()
        if files.get(name) != digest
    ]
    raise UserError(
        f"`{folder}` holds a build of another source: `{before}`, not `{now}`"
        if before != now
        else f"`{folder}` holds a build of another recipe of the run `{now}`",
        where=str(folder / BUILD_FILE),
        why=f"their digests differ: {'; '.join(differ)}" if differ else None,
        do="give another folder with --out, or replace that build with --force",
    )

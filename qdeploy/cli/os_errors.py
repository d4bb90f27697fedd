"""What the operating system refuses on a path or a disk of the user's, as an error for people."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from qdeploy.errors import UserError

_IN_THE_WAY = "give another path, or move the file that is where a folder is needed"
_FORBIDDEN = "give a path that you may write to, or change its permissions"
_SHORTER = "give a shorter path"
_ROOM = "make room on that disk, or give a path on another one"
# Number of the system's error -> what to do. What is not listed is a fault in qdeploy.
_CURES = {
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.EISDIR: "give a file: a folder of that name is there",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENAMETOOLONG: _SHORTER,
    errno.ELOOP: "give a path whose links do not lead in a circle",
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
}
# Writing into an open file that has no room left is told without its name.
_NAMELESS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# About what qdeploy itself put into a folder of its own, these are its own mistakes.
_OURS = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


def refusal_of(error: OSError) -> UserError | None:
    """The error for people that explains one of the system's, None where the fault is qdeploy's."""
    cure = _CURES.get(error.errno or 0)
    if cure is None:
        return None
    reason = os.strerror(error.errno or 0)
    named = error.filename2 or error.filename  # of a renaming, what it was to become
    if not isinstance(named, str):
        if error.errno not in _NAMELESS:
            return None
        return UserError(f"a file cannot be written: {reason}", do=cure)
    path = Path(named)
    made_here = next((at for at, part in enumerate(path.parts) if _temporary(part)), None)
    if made_here is not None:
        if error.errno in _OURS:
            return None
        path = Path(*path.parts[:made_here])  # the rest of the path is no name of the user's
    return UserError(f"`{path}` cannot be used: {reason}", do=cure)


def _temporary(name: str) -> bool:
    """Whether `qdeploy.artifacts` gave a file or folder this name while it is written."""
    return name.startswith(".") and name.endswith(".part")

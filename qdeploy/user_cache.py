"""Where compiled code that serves all of a user's work is kept, whatever folder they work in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from platformdirs import user_cache_path

from qdeploy.scratch import folder_of_process


def user_cache(name: str) -> Path:
    """The folder `name` of the user's cache, which nobody else can write; a temporary one of this
    process where the user has none.
    """
    folder = user_cache_path("qdeploy") / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
        if found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return folder
    except OSError:
        pass
    return folder_of_process(name)

"""Importing FINN where no vendor tool is installed.

FINN (finn-plus 1.6.1) takes a build folder and a settings file from the environment, and imports a
simulation engine of Vivado. `prepare()` provides all three without creating anything in
the user's home; every module of qdeploy that imports FINN calls it first.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import tempfile
from pathlib import Path


@functools.cache
def prepare() -> None:
    """Make `import finn` work. Cheap to call again.

    FINN works in a private folder of this process, which goes with it, and reads no settings from
    anywhere else: what it makes depends on the network alone.
    """
    scratch = tempfile.mkdtemp(prefix="qdeploy-finn-")  # mode 0700, a name nobody can guess
    atexit.register(_remove, scratch, os.getpid())
    # FINN takes these from the environment only, and fails or writes into the home without them.
    os.environ["FINN_BUILD_DIR"] = scratch
    # A path that need not exist: with it set, FINN does not create a folder in the home.
    os.environ["FINN_SETTINGS"] = str(Path(scratch) / "settings.yaml")
    # On import FINN logs that it finds no vendor tool, which it does not need here.
    logging.getLogger("finn_logger").setLevel(logging.ERROR)
    import finn.xsi

    if "SimEngine" not in vars(finn.xsi):
        # Only a type annotation to the steps that import it.
        finn.xsi.SimEngine = type("SimEngine", (), {})


def _remove(folder: str, owner: int) -> None:
    """Remove the folder when its process ends; a forked copy of the process leaves it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)

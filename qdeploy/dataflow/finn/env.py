"""Importing FINN where no vendor tool is installed.

FINN (finn-plus 1.6.1) takes a build folder and a settings file from the environment, and imports a
simulation engine of Vivado. `prepare()` provides all three without creating anything in
the user's home; every module of qdeploy that imports FINN calls it first.
"""

from __future__ import annotations

import functools
import logging
import os

from qdeploy.scratch import folder_of_process

# Variables that FINN takes as settings, beside those whose names begin with its own.
_ITS_SETTINGS = (
    "AUTOMATIC_DEPENDENCY_UPDATES",
    "DEPS_GIT_TIMEOUT",
    "LIVENESS_THRESHOLD",
    "NUM_DEFAULT_WORKERS",
    "RTLSIM_TRACE_DEPTH",
)


@functools.cache
def prepare() -> None:
    """Make `import finn` work. Cheap to call again.

    FINN works in a private folder of this process, which goes with it, and reads no settings from
    anywhere else: what it makes depends on the network alone.
    """
    for name in list(os.environ):  # in any case: FINN takes small letters too
        if name.upper().startswith("FINN_") or name.upper() in _ITS_SETTINGS:
            del os.environ[name]
    scratch = folder_of_process("finn")
    # FINN takes these from the environment only, and fails or writes into the home without them.
    os.environ["FINN_BUILD_DIR"] = str(scratch)
    # A path that need not exist: with it set, FINN does not create a folder in the home.
    os.environ["FINN_SETTINGS"] = str(scratch / "settings.yaml")
    # On import FINN logs that it finds no vendor tool, which it does not need here.
    logging.getLogger("finn_logger").setLevel(logging.ERROR)
    import finn.xsi

    if "SimEngine" not in vars(finn.xsi):
        # Only a type annotation to the steps that import it.
        finn.xsi.SimEngine = type("SimEngine", (), {})

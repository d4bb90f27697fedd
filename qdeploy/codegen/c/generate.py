"""Write a network's C sources into a folder.

network.c, network.h   the layers in order
weights.c, weights.h   constants
kernels/               those that the layers need
"""

from __future__ import annotations

import shutil
from pathlib import Path

from qdeploy.artifacts import write_text
from qdeploy.codegen.c.constants import Constants
from qdeploy.codegen.c.header import network_header
from qdeploy.codegen.c.network_source import kernel_files, network_source
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.text import check_prefix
from qdeploy.resources import resource

KERNELS = "export/c/kernels"
DEFAULT_PREFIX = "network"


def generate(program: Program, folder: Path, prefix: str = DEFAULT_PREFIX) -> None:
    """Write the sources.

    Args:
        folder: exists.
        prefix: of all names that a program sees.

    Raises:
        UserError: the prefix is no identifier of C.
    """
    check_prefix(prefix)
    constants = Constants(prefix)
    write_text(folder / "network.c", network_source(program, prefix, constants))
    write_text(folder / "network.h", network_header(program, prefix))
    write_text(folder / "weights.c", constants.source())
    write_text(folder / "weights.h", constants.header())
    (folder / "kernels").mkdir(exist_ok=True)
    for name in kernel_files(program):
        shutil.copyfile(resource(f"{KERNELS}/{name}"), folder / "kernels" / name)

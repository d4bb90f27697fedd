"""Which Verilog files a block needs: its own and those of the modules inside it.

One module a file, both of one name, so a word that is the name of a file is an instance of it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

from qdeploy.design.library_text import library_text
from qdeploy.resources import resource

FOLDER = "hw/rtl"
# Stand-ins for simulation; nothing of a design that is synthesized names them.
SIM_FOLDER = "hw/sim"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


def library_file(name: str) -> Path:
    """Path of a file of the library.

    Raises:
        InternalError: there is none of that name.
    """
    stand_in = resource(SIM_FOLDER) / name
    return stand_in if stand_in.exists() else resource(f"{FOLDER}/{name}")


@functools.cache
def _needs(module: str, loadable: bool) -> frozenset[str]:
    folder = resource(FOLDER)
    text = library_file(f"{module}.v").read_text(encoding="utf-8")
    text = _COMMENT.sub("", library_text(text, loadable=loadable))
    words = set(re.findall(r"\bqd_\w+", text)) - {module}
    return frozenset(word for word in words if (folder / f"{word}.v").exists())


def closure(modules: Iterable[str], *, loadable: bool = False) -> list[str]:
    """File names of the modules and of everything they instantiate, sorted.

    Args:
        loadable: with what writes their memories from the configuration stream.

    Raises:
        InternalError: there is no file for one of the modules.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            library_file(f"{module}.v")
            found.add(module)
            waiting.extend(_needs(module, loadable))
    return sorted(f"{module}.v" for module in found)

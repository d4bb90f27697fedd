"""The library files of a design against those of this version."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from qdeploy.design.library_text import library_text
from qdeploy.resources import resource
from qdeploy.verify.memories.blocks import LIBRARY
from qdeploy.verify.memories.ledger import Ledger, Place

_COMMENT = re.compile(r"//[^\n]*")
_WORD = re.compile(r"\bqd_\w+")


def check_library(
    ledger: Ledger, library: Path, names: list[str], *, loadable: bool = False
) -> None:
    """Each file is, byte for byte, the one that the library has: what is read back here is
    understood as these modules do it.

    Args:
        loadable: with what writes memories from the configuration stream.
    """
    for name in names:
        place = Place(ledger, "", name)
        if not (library / name).is_file():
            place.differs("the file", "a layer, the top or a library module", "none of these")
            continue
        text = (library / name).read_text(encoding="utf-8")
        expected = library_text(text, loadable=loadable).encode()
        try:
            found = (ledger.folder / name).read_bytes()
        except OSError as error:
            place.differs("the file", "there", error.strerror or "unreadable")
            continue
        place.check("sha256 of the library module", _digest(expected), _digest(found), "files")


def needed(modules: Iterable[str], *, loadable: bool = False) -> set[str]:
    """Files of modules of the library and of all that they instantiate."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = f"{waiting.pop()}.v"
        if name not in found:
            found.add(name)
            waiting += _instantiated(name, loadable)
    return found


@functools.cache
def _instantiated(name: str, loadable: bool) -> tuple[str, ...]:
    """Modules that a file of the library names; one module a file, both of one name."""
    folder = resource(LIBRARY)
    text = library_text((folder / name).read_text(encoding="utf-8"), loadable=loadable)
    text = _COMMENT.sub("", text)
    words = {*_WORD.findall(text)} - {name.removesuffix(".v")}
    return tuple(sorted(word for word in words if (folder / f"{word}.v").is_file()))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]

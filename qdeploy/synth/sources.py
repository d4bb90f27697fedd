"""Which files of a design a module depends on, and one hash over them.

A module depends on the file that defines it, on the files that define any module whose name occurs
there, and so on, and on each memory file whose name occurs in one of them. Names are looked for as
plain words, comments included: that may find a file too many, never one too few.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qdeploy.design.manifest import Design
from qdeploy.errors import InternalError

_MODULE = re.compile(r"^\s*module\s+([A-Za-z_]\w*)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w*")
_STRING = re.compile(r'"([^"\n]*)"')


@dataclass(frozen=True)
class Closure:
    """Files a module needs: Verilog `sources` and `memories`, in the design's order."""

    sources: tuple[str, ...]
    memories: tuple[str, ...]

    def digest(self, folder: Path, *more: str, unnamed: str = "") -> str:
        """SHA-256 over names and contents of the files, and over `more`.

        Args:
            unnamed: a module whose own name does not count: two modules that differ in nothing else
                (FIFOs of one width and depth, say) get one hash.
        """
        own = re.compile(rb"\b" + re.escape(unnamed.encode()) + rb"\b") if unnamed else None
        hasher = hashlib.sha256()
        for text in more:
            hasher.update(f"{len(text)}:{text}".encode())
        for name in (*self.sources, *self.memories):
            title, data = name.encode(), (folder / name).read_bytes()
            if own is not None:
                title, data = own.sub(b"*", title), own.sub(b"*", data)
            hasher.update(b"%d:%s%d:" % (len(title), title, len(data)))
            hasher.update(data)
        return hasher.hexdigest()


class SourceTree:
    """The files of a design folder and the modules they define."""

    def __init__(self, folder: Path, design: Design) -> None:
        self._design = design
        self._words: dict[str, set[str]] = {}
        self._strings: dict[str, set[str]] = {}
        self._reads_memory: dict[str, bool] = {}
        self._defined_in: dict[str, str] = {}
        for name in design.sources:
            text = (folder / name).read_text(encoding="utf-8")
            self._words[name] = set(_WORD.findall(text))
            self._strings[name] = set(_STRING.findall(text))
            self._reads_memory[name] = "$readmem" in text
            for module in _MODULE.findall(text):
                self._defined_in[module] = name

    def file_of(self, module: str) -> str:
        """The file that defines `module`.

        Raises:
            InternalError: when no file of the design does.
        """
        if module not in self._defined_in:
            raise InternalError(
                f"the module `{module}` is in no source of the design",
                where=self._design.name,
                do="run `qdeploy export` again; if that does not help, report it",
            )
        return self._defined_in[module]

    def closure(self, module: str, stop: Iterable[str] = ()) -> Closure:
        """Files `module` needs, not going into the modules `stop`."""
        stops = set(stop)
        found: set[str] = set()
        todo = [self.file_of(module)]
        while todo:
            name = todo.pop()
            if name in found:
                continue
            found.add(name)
            users = self._words[name] & (self._defined_in.keys() - stops)
            todo += [self._defined_in[user] for user in users]
            todo += [other for other in self._design.sources if self._mentions(name, other)]
        sources = tuple(name for name in self._design.sources if name in found)
        return Closure(sources, self._memories(sources))

    def _memories(self, sources: tuple[str, ...]) -> tuple[str, ...]:
        named = [
            memory
            for memory in self._design.memories
            if any(self._mentions(source, memory) for source in sources)
        ]
        if not named and any(self._reads_memory[source] for source in sources):
            # The names are put together in Verilog: only all of them is safe.
            return tuple(self._design.memories)
        return tuple(named)

    def _mentions(self, source: str, name: str) -> bool:
        return bool({name, Path(name).name} & self._strings[source])

"""A synthesized netlist as text: its modules, their ports, and which cells they are made of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qdeploy.errors import UserError
from qdeploy.resources import resource

CELL_FOLDER = "hw/sim/xc7"
_MODULE = re.compile(r"^module (\w+)\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)
_CELL = re.compile(r"^  (\w+) (?:#\(|\S+ +\()$", re.MULTILINE)
_WORD = re.compile(r"\bqd_\w+")


@dataclass(frozen=True)
class Module:
    """A module of a netlist.

    Args:
        text: from `module` to `endmodule`.
        ports: name -> (`input` or `output`, bits).
        cells: how many cells of each type it has, other modules of the netlist included.
    """

    name: str
    text: str
    ports: dict[str, tuple[str, int]]
    cells: Counter[str]


def read_netlist(path: Path) -> dict[str, Module]:
    """The modules of a netlist written by Yosys, by name.

    Raises:
        UserError: there is no such file, or it holds no module.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"there is no netlist `{path}`", why=str(error), do="run `qdeploy export` again"
        ) from error
    found = {match[1]: _module(match[1], match[0]) for match in _MODULE.finditer(text)}
    if not found:
        raise UserError(f"`{path}` holds no module", do="run `qdeploy export` again")
    return found


def _module(name: str, text: str) -> Module:
    ports = {port: (direction, int(top or 0) + 1) for direction, top, port in _PORT.findall(text)}
    return Module(name, text, ports, Counter(_CELL.findall(text)))


def primitives(modules: Mapping[str, Module], chosen: Iterable[str]) -> Counter[str]:
    """Cells of the modules `chosen`, those that are modules themselves left out."""
    total: Counter[str] = Counter()
    for name in chosen:
        total += modules[name].cells
    return Counter({kind: number for kind, number in total.items() if kind not in modules})


def unmodelled(modules: Mapping[str, Module]) -> list[str]:
    """Types of cells in a netlist for which there is no simulation model, sorted."""
    return sorted(kind for kind in primitives(modules, modules) if not _file(kind).is_file())


def cell_sources(kinds: Iterable[str]) -> list[Path]:
    """The simulation models of `kinds`, and what those are made of."""
    files = {_file(kind) for kind in kinds}
    inside = {word for path in files for word in _WORD.findall(path.read_text(encoding="utf-8"))}
    files |= {_file(word) for word in inside if _file(word).is_file()}
    return sorted(files)


def _file(kind: str) -> Path:
    return resource(CELL_FOLDER) / f"{kind}.v"

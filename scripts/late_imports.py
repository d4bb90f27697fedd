"""Find imports inside functions that have no reason to be there.

    python scripts/late_imports.py

An import inside a function keeps a heavy package from loading before it is needed. One of our own
modules may therefore be imported there when that module, or one it imports, loads such a package at
its top. Any other import belongs at the top of the file, where a reader sees it. The command line
(`qdeploy/cli`) may import late what only one command needs, and the plugin that every run of pytest
loads (`qdeploy/pytest_plugin.py`) what only its fixtures need.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "brevitas",
    "finn",
    "matplotlib",
    "onnx",
    "onnxruntime",
    "ortools",
    "PIL",
    "qonnx",
    "rich",
    "sklearn",
    "torch",
}
# Rooms of which each run needs a part.
ON_REQUEST = (["cli"], ["pytest_plugin"])


class Import(NamedTuple):
    """One imported module, where it is imported, and whether that happens as the file is loaded."""

    line: int
    module: str
    late: bool


def imports(tree: ast.Module, modules: set[str]) -> Iterator[Import]:
    """The imports of one file; `modules` are the package's, to tell a module from what is in it.

    What is imported for types only (`if TYPE_CHECKING:`) is left out: it is never loaded.
    """
    todo: list[tuple[ast.AST, bool]] = [(tree, False)]
    while todo:
        node, late = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo.extend((child, late) for child in node.orelse)
            continue
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            inner = [name for name in names if name in modules]
            if len(inner) < len(names):
                inner.append(node.module)
            yield from (Import(node.lineno, name, late) for name in inner)
        late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        todo.extend((child, late) for child in ast.iter_child_nodes(node))


def read(folder: Path) -> dict[str, list[Import]]:
    """The imports of every module of the package in `folder`, by the module's name."""
    files = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {
        name: sorted(imports(ast.parse(path.read_text(encoding="utf-8")), set(files)))
        for name, path in files.items()
    }


def heavy_modules(found: dict[str, list[Import]]) -> set[str]:
    """Modules of the package that load a heavy package at their top, directly or indirectly."""
    heavy: set[str] = set()
    while True:
        more = {
            name
            for name, lines in found.items()
            if any(
                line.module in heavy or line.module.partition(".")[0] in HEAVY
                for line in lines
                if not line.late
            )
        }
        if more == heavy:
            return heavy
        heavy = more


def without_reason(found: dict[str, list[Import]]) -> Iterator[tuple[str, Import]]:
    """Imports inside functions outside `ON_REQUEST`, of modules that load nothing heavy."""
    heavy = heavy_modules(found)
    for name, lines in found.items():
        if name.split(".")[1:2] not in ON_REQUEST:
            for line in lines:
                if line.late and line.module in found and line.module not in heavy:
                    yield name, line


def main(folder: Path = ROOT / "qdeploy") -> int:
    """Print every such import; 1 if there is one, else 0."""
    bad = list(without_reason(read(folder)))
    for name, line in bad:
        place = f"{name.replace('.', '/')}.py:{line.line}"
        print(f"error: {place} imports {line.module} inside a function", file=sys.stderr)
    if bad:
        print(
            f"  why      imports inside functions are for modules that load one of: "
            f"{', '.join(sorted(HEAVY, key=str.lower))}\n"
            "  do this  import it at the top of the file; if that closes a circle, move what both "
            "sides need into a file of its own",
            file=sys.stderr,
        )
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())

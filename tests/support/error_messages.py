"""The texts in the sources, as a reader sees them: what an f-string fills in is written `…`."""

from __future__ import annotations

import ast
from pathlib import Path

import qdeploy

PACKAGE = Path(qdeploy.__file__).resolve().parent
HOLE = "…"


def texts_in(source: str) -> list[str]:
    """Every string of a module; of an f-string, the fixed parts with `…` between them."""
    found, inner = [], set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in ast.walk(node) if part is not node}
            if id(node) not in inner:
                found.append("".join(map(_part, node.values)))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            found.append(node.value)
    return found


def _part(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else HOLE


def texts_of_the_package() -> set[str]:
    """Those of all modules of qdeploy."""
    files = PACKAGE.rglob("*.py")
    return {text for file in files for text in texts_in(file.read_text(encoding="utf-8"))}

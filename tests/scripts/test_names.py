"""Pages, benches and scripts name only files, modules and functions that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "hw/**/*.md", "export/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # it tells of what there was
)
CODE = sorted([*ROOT.glob("bench/*.py"), *ROOT.glob("scripts/*.py")])
TOP_FOLDERS = ("bench", "docs", "export", "hw", "models", "qdeploy", "scripts", "tests")
# Groups of entry points, where no module has the same name.
GROUPS = {"qdeploy.datasets", "qdeploy.losses"}
_PATH = re.compile(rf"(?<![\w/.])(?:{'|'.join(TOP_FOLDERS)})/[\w./*{{}},-]*\w\*?")
_MODULE = re.compile(r"(?<![\w/.])qdeploy(?:\.\w+)+")


def module_file(name: str) -> Path | None:
    """The file of a module or package of qdeploy, None where there is none."""
    path = ROOT / name.replace(".", "/")
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)


def defined(file: Path) -> set[str]:
    """Names at the top of a Python file."""
    names: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Import() | ast.ImportFrom():
                names |= {alias.asname or alias.name for alias in node.names}
            case ast.Assign() | ast.AnnAssign() | ast.If() | ast.Try():
                names |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
                # The package imports functions for type checkers alone: they load when used.
                names |= {inner.name for inner in ast.walk(node) if isinstance(inner, ast.alias)}
            case _:
                pass
    return names


def known(name: str) -> bool:
    """Whether a dotted name is a module, or something at the top of one."""
    if module_file(name) is not None:
        return True
    parent, _, last = name.rpartition(".")
    file = module_file(parent)
    return file is not None and last in defined(file)


def unknown_names(text: str) -> list[str]:
    """Paths of the repository and dotted names of qdeploy in a text that do not exist."""
    paths = {name.rstrip(".") for name in _PATH.findall(text)}
    absent = [name for name in paths if not (ROOT / name).exists() and not any(ROOT.glob(name))]
    return sorted(
        [*absent, *(name for name in set(_MODULE.findall(text)) - GROUPS if not known(name))]
    )


def imported(file: Path) -> Iterator[str]:
    """Dotted names that a file imports of qdeploy, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "qdeploy":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_names_only_what_exists(page: Path) -> None:
    assert unknown_names(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_script_imports_only_what_exists(file: Path) -> None:
    assert [name for name in imported(file) if not known(name)] == []


def test_stale_names_are_found() -> None:
    text = "`qdeploy/ir/no.py`, `qdeploy.ir.rules.no`, `hw/rtl/qd_*.v`, qdeploy.errors.UserError"
    assert unknown_names(text) == ["qdeploy.ir.rules.no", "qdeploy/ir/no.py"]

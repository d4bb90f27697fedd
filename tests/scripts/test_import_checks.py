"""`import_circles.py` and `late_imports.py` in `scripts/`: what they find and what they allow."""

from __future__ import annotations

import fnmatch
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    """The two scripts as modules."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import import_circles
    import late_imports

    return import_circles, late_imports


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty package `toy_house` that Python finds."""
    folder = tmp_path / "toy_house"
    (folder / "cli").mkdir(parents=True)
    for room in (folder, folder / "cli"):
        (room / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_house", raising=False)
    return folder


def write(package: Path, **files: str) -> None:
    for name, text in files.items():
        (package / f"{name.replace('__', '/')}.py").write_text(text, encoding="utf-8")


HIDDEN = {
    "inside a function": "def f():\n    from toy_house.a import x\n    return x\n",
    "for types only": (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from toy_house.a import x\n"
    ),
}


@pytest.mark.parametrize("last", HIDDEN.values(), ids=HIDDEN.keys())
def test_hidden_circle_is_told_file_by_file(
    scripts: tuple[ModuleType, ModuleType],
    package: Path,
    capsys: pytest.CaptureFixture[str],
    last: str,
) -> None:
    write(
        package, a="\nfrom toy_house.b import y\n\nx = y\n", b="from toy_house import c\n\ny = c\n"
    )
    write(package, c=last, d="from toy_house.a import x\n")
    assert scripts[0].main("toy_house") == 1
    told = capsys.readouterr().err
    assert "error: 3 files import each other in a circle" in told
    assert "toy_house/a.py:2  from toy_house.b import y" in told
    assert "toy_house/b.py:1  from toy_house import c" in told
    assert "toy_house/c.py:" in told
    assert "d.py" not in told
    assert "do this  move what both sides need" in told


def test_two_circles_are_both_told(
    scripts: tuple[ModuleType, ModuleType], package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(package, a="from toy_house import b\n", b="from toy_house import a\n")
    write(package, c="from toy_house import d\n", d="from toy_house import a, c\n")
    assert scripts[0].main("toy_house") == 1
    assert capsys.readouterr().err.count("error: 2 files") == 2


def test_imports_without_a_circle_pass(
    scripts: tuple[ModuleType, ModuleType], package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(package, a="from toy_house import b, c\n", b="from toy_house import c\n", c="import os\n")
    assert scripts[0].main("toy_house") == 0
    assert capsys.readouterr().err == ""


LATE = "def f():\n    from toy_house.target import x\n    return x\n"


@pytest.mark.parametrize(
    ("target", "helper", "status"),
    [
        ("x = 1\n", "", 1),
        ("import torch\n\nx = torch\n", "", 0),
        ("from toy_house.helper import x\n", "import onnx.helper as x\n", 0),
        ("from toy_house import helper as x\n", "import onnx.helper as x\n", 0),
        ("def g():\n    import torch\n\nx = g\n", "", 1),
        ("from toy_house.helper import x\n", "def x():\n    import torch\n", 1),
        (
            "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import torch\nx = 1\n",
            "",
            1,
        ),
    ],
    ids=[
        "light",
        "heavy",
        "heavy through another",
        "heavy through another, as a module",
        "heavy late only",
        "heavy through another late only",
        "heavy for types only",
    ],
)
def test_late_import_needs_a_heavy_package_at_the_other_modules_top(
    scripts: tuple[ModuleType, ModuleType],
    package: Path,
    capsys: pytest.CaptureFixture[str],
    target: str,
    helper: str,
    status: int,
) -> None:
    write(package, user=LATE, target=target, helper=helper)
    assert scripts[1].main(package) == status
    told = capsys.readouterr().err
    expected = "error: toy_house/user.py:2 imports toy_house.target inside a function"
    assert (expected in told) == bool(status)


def test_command_line_may_import_late_what_one_command_needs(
    scripts: tuple[ModuleType, ModuleType], package: Path
) -> None:
    write(package, cli__main=LATE, target="x = 1\n")
    assert scripts[1].main(package) == 0


def test_exceptions_of_the_contracts_are_imports_for_types_only(
    scripts: tuple[ModuleType, ModuleType],
) -> None:
    found = scripts[1].read(ROOT / "qdeploy")
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for contract in contracts["tool"]["importlinter"]["contracts"]:
        for exception in contract.get("ignore_imports", []):
            importer, package = exception.split(" -> ")
            for module in fnmatch.filter(found, importer):
                loaded = {line.module.partition(".")[0] for line in found[module]}
                assert package not in loaded, f"{module} loads {package}"

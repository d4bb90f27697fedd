"""Library code neither prints, nor reads the environment, nor mutes warnings or logs.

What a program may hear, it hears through the observer it hands in.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import qdeploy

PACKAGE = Path(qdeploy.__file__).resolve().parent
# File -> what it uses, and why that is right.
ALLOWED: dict[tuple[str, str], str] = {
    ("dataflow/finn/env.py", "os.environ"): "FINN reads its settings there when it is imported",
    ("dataflow/finn/env.py", "setLevel"): "on import FINN logs that it finds no vendor tool",
    (
        "ptq/equalize.py",
        "simplefilter",
    ): "Brevitas warns of layers that it leaves alone",
    ("study/on_ray.py", "os.environ"): "Ray reads there how often it looks for a cluster",
    ("tools.py", "os.environ"): "handed on to the programs that are started",
    ("training/workers.py", "os.environ"): "cuBLAS reads there how to be deterministic",
}
_NAMES = ("print", "simplefilter", "filterwarnings", "environ", "getenv")


def uses(source: str) -> Iterator[str]:
    """What of the above a file uses."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield "print"
            case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" as name):
                yield f"os.{name}"
            case ast.Attribute(attr="simplefilter" | "filterwarnings" | "setLevel" as name):
                yield name
            case ast.ImportFrom(module="os" | "warnings", names=names):
                yield from (one.name for one in names if one.name in _NAMES)


def test_only_the_command_line_prints_reads_the_environment_and_mutes_warnings() -> None:
    found = {
        (path.relative_to(PACKAGE).as_posix(), use)
        for path in PACKAGE.rglob("*.py")
        if "cli" not in path.relative_to(PACKAGE).parts
        for use in uses(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


def test_each_of_these_uses_is_found() -> None:
    source = (
        "import os, warnings\nfrom os import environ\nprint(1)\nos.environ['A']\n"
        "os.getenv('A')\nwarnings.simplefilter('ignore')\nwarnings.filterwarnings('ignore')\n"
        "logger.setLevel(40)\n"
    )
    expected = ("environ", "filterwarnings", "os.environ", "os.getenv", "print", "setLevel")
    assert sorted(uses(source)) == [*expected, "simplefilter"]

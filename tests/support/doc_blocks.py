"""Code blocks of documentation pages, and the commands in them, run as a reader would."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import qdeploy
from qdeploy.cli.main import qdeploy as command_line
from qdeploy.cli.main import run

ROOT = Path(qdeploy.__file__).resolve().parent.parent


def blocks(page: str, language: str = "") -> list[str]:
    """The fenced blocks of `docs/PAGE` in this language; those without one by default."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for kind, block in found if kind == language]


def commands(page: str) -> list[list[str]]:
    """The words of every line in the page's plain blocks that is a `qdeploy` command."""
    lines = [line for block in blocks(page) for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("qdeploy ")]


@dataclass(frozen=True)
class Done:
    """What a command ended with and said."""

    code: int
    out: str
    err: str


def call(words: list[str], folder: Path) -> Done:
    """`qdeploy WORDS` in `folder`, in this process: what it loads is loaded once."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run(command_line, words)
    return Done(code, out.getvalue(), err.getvalue())

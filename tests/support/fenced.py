"""Fenced blocks of the documentation, and whether the commands in them are ones that exist."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

import qdeploy
from qdeploy.cli.main import Settings
from qdeploy.cli.main import qdeploy as command_line

ROOT = Path(qdeploy.__file__).resolve().parent.parent
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
# Programs of others that a page may name; what they take is theirs to check.
OTHERS = {
    *(
        "git",
        "cd",
        "export",
        "echo",
        "pip",
        "conda",
        "docker",
        "apt-get",
        "dpkg",
        "md5sum",
        "python3",
    ),
    *("torchrun", "lib=~/iverilog/usr/lib/x86_64-linux-gnu/ivl", "~/iverilog/usr/bin/iverilog"),
    "~/iverilog/usr/bin/vvp",
}
_SETTING = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, relative to the checkout; its language; its text."""

    page: str
    language: str
    text: str

    @property
    def first(self) -> str:
        """Its first line, by which tables name it."""
        return self.text.split("\n", 1)[0].strip()


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page, in its order."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, (language.split() or [""])[0], re.sub(f"^{indent}", "", text, flags=re.M))
        for indent, language, text in found
    ]


def lines_of(text: str) -> list[str]:
    """The command lines of a block: continued ones in one, comments and empty ones left out."""
    joined = text.replace("\\\n", " ").splitlines()
    return [line for line in joined if line.strip() and not line.lstrip().startswith("#")]


def fault_of(line: str) -> str | None:
    """What is wrong with a line as a command; None where nothing is.

    Commands of qdeploy are parsed by its command line, without being run: names of options, values
    of a fixed set and how many there are is checked, that files exist is not. A target of make has
    to be in a Makefile.
    """
    for part in re.split(r"&&|;|\|", re.sub(r"(^|\s)#.*", "", line)):
        try:
            words = shlex.split(part.strip("() "))
        except ValueError as error:
            return f"`{line}` is no line of a shell: {error}"
        while words and _SETTING.fullmatch(words[0]):
            del words[0]
        if words and (fault := _fault(words)):
            return f"`{line.strip()}`: {fault}"
    return None


def _fault(words: list[str]) -> str | None:
    program, *rest = words
    if program.removeprefix(".venv/bin/") == "qdeploy":
        return _fault_of_qdeploy([word for word in rest if word != ">"] if ">" not in rest else [])
    if program == "make":
        targets = [word for word in rest if "=" not in word]
        files = [
            ROOT / "Makefile",
            *ROOT.glob("export/**/Makefile*"),
            *ROOT.glob("qdeploy/**/Makefile*"),
        ]
        known = set(re.findall(r"^([a-z-]+):", "\n".join(map(Path.read_text, files)), flags=re.M))
        absent = set(targets) - known
        return f"no Makefile has {sorted(absent)}" if absent else None
    return None if program in OTHERS else f"there is no program `{program}`"


def _fault_of_qdeploy(words: list[str]) -> str | None:
    if not words:
        return None
    try:
        with click.Context(command_line, obj=Settings()) as outer:
            command = command_line.get_command(outer, words[0])
            if command is None:
                return f"there is no command `{words[0]}`"
            rest = words[1:]
            while isinstance(command, click.Group) and rest:
                found = command.get_command(outer, rest[0])
                if found is None:
                    return f"there is no command `{rest[0]}`"
                command, rest = found, rest[1:]
            command.make_context(words[0], rest, parent=outer)
    except click.UsageError as error:
        if isinstance(error, click.BadParameter) and "does not exist" in error.message:
            return None  # readers have their own files
        return error.format_message()
    return None

"""Verilog that is only hardware: nothing in it makes Verilator run programs or write files.

A build may come from anywhere, and its Verilog is compiled and run as it is. `$system` runs
programs, `$c` and `import "DPI-C"` bring C++ along, `$fopen` writes files. So system tasks and
directives are those of a fixed list, and what is not there is refused before it is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from qdeploy.errors import UserError

_TASKS = frozenset(
    (
        *("$bits", "$clog2", "$countones", "$display", "$error", "$fatal", "$finish", "$info"),
        *("$isunknown", "$onehot", "$onehot0", "$random", "$readmemh", "$setup", "$signed"),
        *("$stop", "$time", "$unsigned", "$urandom", "$warning", "$write"),
    )
)
_DIRECTIVES = frozenset(
    (
        *("`default_nettype", "`define", "`else", "`elsif", "`endif", "`ifdef", "`ifndef"),
        *("`resetall", "`timescale", "`undef"),
    )
)
_WORDS = frozenset(("import", "export", "extern"))
# A quick look at the whole text, comments and strings included; most files have none of it.
_SUSPECT = re.compile(r"\$\w*|`\W|`\w+|\b(?:import|export|extern)\b")
_DEFINE = re.compile(r"`define\s+([A-Z_][A-Z0-9_]*)\b")
# In the order in which a reader of Verilog takes them.
_TOKEN = re.compile(
    r'(?P<text>//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*")'
    r"|\\\S+"
    r"|(?P<word>\$\w*|`\w+|`.|[A-Za-z_][\w$]*)",
    re.DOTALL,
)
# Comments that are commands to Verilator, other than those of the library's modules.
_COMMAND = re.compile(
    r"/[/*]\s*verilator\s+(?!(?:lint_o(?:n|ff)|no_inline_module)\b)", re.IGNORECASE
)
HARDWARE = (".v", ".sv", ".vh", ".svh")


def check_sources(sources: Iterable[Path], folder: Path) -> None:
    """Check Verilog sources, and others in their folder, which Verilator finds by itself.

    Raises:
        UserError: one of them does more than describe hardware, or cannot be read.
    """
    beside = (path for path in folder.iterdir() if path.suffix in HARDWARE)
    for path in dict.fromkeys((*sources, *sorted(beside))):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise _refused(path, f"cannot be read: {error}") from error
        if path.suffix not in HARDWARE:
            raise _refused(path, "is no Verilog")
        found = foreign(text)
        if found is not None:
            raise _refused(path, f"has `{found[:60]}`, which is no hardware")


def foreign(text: str) -> str | None:
    """The first word of a Verilog text that does not describe hardware, None where all do."""
    known = _TASKS | _DIRECTIVES | {f"`{name}" for name in _DEFINE.findall(text)}
    if set(_SUSPECT.findall(text)) <= known and not _COMMAND.search(text):
        return None
    for match in _TOKEN.finditer(text):
        word = match["word"]
        if word is None:
            command = _COMMAND.match(match["text"] or "")
            if command:
                return command[0]
        elif word in _WORDS or (word[0] in "$`" and word not in known):
            return word
    return None


def _refused(path: Path, problem: str) -> UserError:
    return UserError(
        f"the Verilog file `{path.name}` {problem}",
        where=str(path),
        why="what it says would run on this machine, as a program",
        do="run `qdeploy export` again; simulate no designs that are not yours",
    )

"""Values in Tcl scripts: quoted, so that no name becomes a command."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_./:+-]+", re.ASCII)
_SPECIAL = re.compile(r'[\\"$\[\]{}; \t#]')
_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def tcl_word(value: str) -> str:
    """`value` as one word of a Tcl command, whatever is in it."""
    if _PLAIN.fullmatch(value):
        return value
    quoted = "".join(
        _CONTROL.get(char) or (f"\\{char}" if _SPECIAL.match(char) else char) for char in value
    )
    return f'"{quoted}"'

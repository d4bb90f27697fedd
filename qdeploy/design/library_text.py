"""Library modules as a design has them: with memories that are written once, or loadable ones.

Modules of `hw/rtl` that have weights or thresholds hold, between `` `ifdef QD_LOADABLE `` and
`` `endif ``, what writes their memories from the configuration stream (`qd_load.v`). A design's own
copy has these lines, or has not: no tool needs to be told a macro.
"""

from __future__ import annotations

LOADABLE = "QD_LOADABLE"
_START, _END = f"`ifdef {LOADABLE}", "`endif"


def library_text(text: str, *, loadable: bool) -> str:
    """A library file with its loadable lines resolved.

    Args:
        text: of the file; lines between the directives hold no others.
    """
    kept, inside = [], False
    for line in text.splitlines(keepends=True):
        word = line.strip()
        if word == _START:
            inside = True
        elif inside and word == _END:
            inside = False
        elif loadable or not inside:
            kept.append(line)
    return "".join(kept)

"""Library modules as a design has them: with memories that are written once, or loadable ones.

Modules of `hw/rtl` that have weights or thresholds hold, between `` `ifdef QD_LOADABLE `` and
`` `endif ``, what writes their memories from the configuration stream (`qd_load.v`); what is there
instead otherwise stands after `` `else ``. A design's own copy has one or the other: no tool needs
to be told a macro. The shell of a package does the same.
"""

from __future__ import annotations

LOADABLE = "QD_LOADABLE"
_START, _ELSE, _END = f"`ifdef {LOADABLE}", "`else", "`endif"


def library_text(text: str, *, loadable: bool) -> str:
    """A library file with its loadable lines resolved.

    Args:
        text: of the file; lines between the directives hold no others.
    """
    kept, inside, keeps = [], False, True
    for line in text.splitlines(keepends=True):
        word = line.strip()
        if word == _START:
            inside, keeps = True, loadable
        elif inside and word == _ELSE:
            keeps = not loadable
        elif inside and word == _END:
            inside, keeps = False, True
        elif keeps:
            kept.append(line)
    return "".join(kept)

"""Where a file's input becomes codes, in a sentence."""

from __future__ import annotations

from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.raw_type import EXAMPLE


def input_note(graph: IntegerGraph) -> str:
    """What the driver takes for a network from a file, and what is done with it on the host."""
    found = graph.prepared
    if found.raw is None:
        scale = "" if found.scale is None else f", one step of which means {float(found.scale):.9g}"
        return (
            "input: the file does not say which integers it is made of: the driver takes codes, "
            f"{found.lo} to {found.hi}{scale}, or real numbers with from_float=True; "
            f"`--input {EXAMPLE}` (x = raw / 255) and the like let it take raw integers"
        )
    if found.takes_codes:
        return (
            f"input: raw {found.raw.name} values are the codes: nothing is computed before the "
            "hardware"
        )
    rows, entries = found.table.shape
    return (
        f"input: what the file does before its first codes is a table of {rows} x {entries} "
        f"entries, from raw {found.raw.name} values to codes {found.lo} to {found.hi}: the driver "
        "applies it on the host"
    )

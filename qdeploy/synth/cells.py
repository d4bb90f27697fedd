"""The cells of a netlist, added up in the units of the part's utilization report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qdeploy.devices.capacity import Counts
from qdeploy.devices.families import Family
from qdeploy.errors import ToolFailedError


def count(
    family: Family, cells: Mapping[str, int], module: str, submodules: Iterable[str] = ()
) -> Counts:
    """Add up the primitives of a flattened module.

    Args:
        cells: how many cells of each type it has.
        module: its name, for messages.
        submodules: cell types that are modules of the design, counted elsewhere.

    Raises:
        ToolFailedError: when there is a latch, or a cell that is no known primitive: then the
            figures would be wrong without anybody noticing.
        InternalError: the family has no synthesis.
    """
    synthesis = family.synthesized()
    skip = set(submodules)
    total = Counts()
    for kind, number in cells.items():
        if kind in skip:
            continue
        if synthesis.is_latch(kind):
            raise ToolFailedError(
                f"synthesis inferred {number} latch(es) ({kind}) in `{module}`",
                why="a latch means a combinational block that does not assign in every case",
                do="report it: qdeploy's hardware has no latches on purpose",
            )
        worth = synthesis.worth(kind)
        if worth is None:
            raise ToolFailedError(
                f"synthesis left a cell of unknown kind `{kind}` in `{module}`",
                why=f"it is neither a primitive of {family.title} nor a module of the design",
                do="report it with the log of the synthesis",
            )
        total += worth * number
    return total

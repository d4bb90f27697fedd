"""The FIFOs of a build: how deep they are, why, and how full they became.

`fifos.json` says so where depths were found by simulation; else the RTL rung of `verify.json` knows
how full they became.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.build_records import (
    FifoRecord,
    FifosRecord,
    RungRecord,
    VerifyRecord,
)
from qdeploy.design.manifest import Design


@dataclass(frozen=True)
class FifoRow:
    """A FIFO, or a site where simulation found that none is needed.

    Args:
        depth: words it holds; 0 for none.
        width: bits per word.
        high_water: the most words it held in simulation, None where it was not simulated.
        analytic: depth by the skews of the branches alone, None where depths were not simulated.
        mark: the most words that a deep FIFO in its place held, with an evenly paced source.
    """

    name: str
    depth: int
    width: int
    high_water: int | None
    analytic: int | None = None
    mark: int | None = None

    @property
    def fill(self) -> float | None:
        """Share of the words that was ever used."""
        return None if self.high_water is None or not self.depth else self.high_water / self.depth


def fifo_rows(design: Design, sized: FifosRecord, verify: VerifyRecord) -> list[FifoRow]:
    """All FIFOs in the order of the stream, then the sites without one.

    Args:
        sized, verify: `fifos.json` and `verify.json`, {} where absent.
    """
    rungs = (one for one in verify.get("rungs", []) if one["name"] == "rtl")
    rung = next(rungs, RungRecord(name="rtl"))
    high = rung.get("details", {}).get("fifo_high_water", {})
    found = {str(one.get("name")): one for one in sized.get("fifos", [])}
    rows = []
    for fifo in design.fifos:
        one = found.get(fifo.name, FifoRecord())
        held = one.get("held", high.get(fifo.name))
        row = FifoRow(fifo.name, fifo.depth, fifo.width, held, one.get("analytic"), one.get("mark"))
        rows.append(row)
    rows += [
        FifoRow(name, 0, int(one.get("width", 0)), None, one.get("analytic"), one.get("mark"))
        for name, one in found.items()
        if not one.get("depth")
    ]
    return rows

"""The result of a synthesis: figures for each layer, for the rest, and against the board."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.build_folder import RESOURCES_FILE
from qdeploy.devices.capacity import TITLES, Counts, usable
from qdeploy.devices.fit import Fit


@dataclass(frozen=True)
class LayerResources:
    """What one hardware layer uses."""

    name: str
    layer: str
    op: str
    module: str
    folding: dict[str, int]
    cycles: int
    counts: Counts


@dataclass(frozen=True)
class Resources:
    """What a design uses of a board.

    Args:
        total: everything, `outside` included.
        outside: what lies in no layer: FIFOs, width converters and the wiring between layers.
        source: the tool, its version and its command.
        notes: what was done otherwise than usual, in sentences.
        most: the most that the design may use, by kind of resource, where that is less than usable.
    """

    board: str
    part: str
    total: Counts
    outside: Counts
    layers: tuple[LayerResources, ...]
    available: dict[str, float]
    source: str
    netlist: str = field(default="netlist.v")
    notes: tuple[str, ...] = ()
    most: dict[str, float] = field(default_factory=dict)

    @property
    def fit(self) -> Fit:
        """The total against what is usable of the part, and allowed."""
        return Fit(self.total.used(), self.available, most=self.most)

    def as_dict(self) -> dict[str, Any]:
        """The content of `resources.json`."""
        return {
            "board": self.board,
            "part": self.part,
            **dataclasses.asdict(self.total),
            "available": self.available,
            "limit": usable("lut"),
            "limits": {kind: usable(kind) for kind in TITLES},
            **({"allowed": self.most} if self.most else {}),
            "fits": self.fit.fits,
            "source": self.source,
            "notes": list(self.notes),
            "netlist": self.netlist,
            "outside": dataclasses.asdict(self.outside),
            "layers": [
                {
                    "name": one.name,
                    "layer": one.layer,
                    "op": one.op,
                    "module": one.module,
                    "folding": one.folding,
                    "cycles": one.cycles,
                    **dataclasses.asdict(one.counts),
                }
                for one in self.layers
            ],
        }

    def save(self, folder: Path) -> None:
        """Write `resources.json` into `folder`, atomically."""
        write_json(folder / RESOURCES_FILE, self.as_dict())

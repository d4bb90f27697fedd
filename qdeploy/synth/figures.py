"""The result of a synthesis: figures for each layer, for the rest, and against the board."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.devices.boards import Board
from qdeploy.synth.cells import Counts

# Share of LUTs and flip-flops a design may take. The rest is for the DMA, the interconnect and the
# shell, and for routing: above about 85 % of the LUTs place and route often fails or misses its
# clock. Of block RAMs and DSP blocks the DMA and its FIFOs take a few.
USABLE = 0.85
USABLE_BLOCKS = 0.95
_BLOCKS = ("bram36", "uram", "dsp")
RESOURCES_FILE = "resources.json"
# What is compared with the board; `carry` follows from the LUTs.
COMPARED = ("lut", "lutram", "ff", "bram36", "uram", "dsp")


def usable(name: str) -> float:
    """Share of a resource of `COMPARED` that a design may take."""
    return USABLE_BLOCKS if name in _BLOCKS else USABLE


@dataclass(frozen=True)
class LayerResources:
    """What one hardware layer takes."""

    name: str
    layer: str
    op: str
    module: str
    folding: dict[str, int]
    cycles: int
    counts: Counts


@dataclass(frozen=True)
class Resources:
    """What a design takes of a board.

    Args:
        total: everything, `outside` included.
        outside: what lies in no layer: FIFOs, width converters and the wiring between layers.
        source: the tool, its version and its command.
        notes: what was done otherwise than usual, in sentences.
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

    @property
    def over(self) -> dict[str, tuple[float, float]]:
        """Resource -> (needed, usable) for each resource that is exceeded."""
        needed = dataclasses.asdict(self.total)
        pairs = {
            name: (
                float(needed["lutram"] + needed["srl"] if name == "lutram" else needed[name]),
                self.available[name] * usable(name),
            )
            for name in COMPARED
        }
        return {name: pair for name, pair in pairs.items() if pair[0] > pair[1]}

    @property
    def fits(self) -> bool:
        """Whether every resource is within its `usable` share of what the part has."""
        return not self.over

    def as_dict(self) -> dict[str, Any]:
        """The content of `resources.json`."""
        return {
            "board": self.board,
            "part": self.part,
            **dataclasses.asdict(self.total),
            "available": self.available,
            "limit": USABLE,
            "limits": {name: usable(name) for name in COMPARED},
            "fits": self.fits,
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


def available(board: Board) -> dict[str, float]:
    """What the board's part offers, keyed like `Counts`."""
    return {name: getattr(board.resources, name) for name in COMPARED}

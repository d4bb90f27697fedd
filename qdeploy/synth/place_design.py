"""A whole design through place and route: the clock it reaches, and the layers at both ends of its
longest path.

The design stands between registers (`timing_harness`), so three pins are enough and none limits the
clock. The part is a stand-in: no registry has place and route for the boards' own parts. Steps of
the path name cells and nets as `under_test.<instance>.…`, and a layer's instance is its module's
name with `_i`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

from qdeploy.artifacts import write_json, write_text
from qdeploy.build_folder import TIMING_FILE
from qdeploy.design.manifest import Design
from qdeploy.scratch import scratch_folder
from qdeploy.synth.nextpnr import NextPnr, Timing
from qdeploy.synth.path_ends import WIRING, layer_of
from qdeploy.synth.timing_harness import TOP, Port, harness, stream_ports

_CELL = re.compile(r"under_test\.([^.\s]+)")


@dataclass(frozen=True)
class DesignTiming:
    """What place and route of a whole design says.

    Args:
        part: the part it was made for, in words; not the board's.
        timing: clock, longest path and cells.
        source, sink: layers in which the longest path begins and ends, `WIRING` for none.
    """

    part: str
    timing: Timing
    source: str
    sink: str
    tools: str

    def as_dict(self) -> dict[str, Any]:
        """The content of `timing.json`."""
        return {
            "part": self.part,
            "fmax_mhz": self.timing.fmax_mhz,
            "path_from": self.source,
            "path_to": self.sink,
            "path": list(self.timing.path),
            "used": self.timing.used,
            "source": self.tools,
        }

    def save(self, folder: Path) -> None:
        """Write `timing.json` into `folder`, atomically."""
        write_json(folder / TIMING_FILE, self.as_dict())


def place_design(folder: Path, design: Design, tool: NextPnr) -> DesignTiming:
    """Place and route the design in `folder`; minutes for a small network.

    Raises:
        ToolMissingError: there is no Yosys or no nextpnr.
        ToolFailedError: one fails, such as for a design larger than the part.
    """
    with scratch_folder("place") as scratch:
        for name in (*design.sources, *design.memories):
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            copyfile(folder / name, scratch / name)
        write_text(scratch / f"{TOP}.v", harness(design.top, design_ports(design)))
        sources = [*design.sources, f"{TOP}.v"]
        timing = tool.run(scratch, sources, TOP, dsp=True, memories=design.memories)
    first, last = (timing.path[0], timing.path[-1]) if timing.path else ("", "")
    return DesignTiming(
        part=f"{tool.family.title} ({' '.join(tool.routing.device)})",
        timing=timing,
        source=layer_at(design, first),
        sink=layer_at(design, last),
        tools=tool.source,
    )


def design_ports(design: Design) -> list[Port]:
    """The ports of a design's top, but clock and reset."""
    ports = [
        *stream_ports("s_axis", design.input.width, into=True),
        *stream_ports("m_axis", design.output.width, into=False),
        Port("m_axis_tlast", 1, False),
    ]
    if design.loading is not None:
        ports += stream_ports("s_axis_config", 8, into=True)
        ports += [Port("s_axis_config_tlast", 1, True), Port("config_crc", 32, False)]
        ports.append(Port("config_state", 8, False))
    return ports


def layer_at(design: Design, step: str) -> str:
    """The layer whose cell or net a step of a path names, `WIRING` for none."""
    found = _CELL.search(step)
    return WIRING if found is None else layer_of(design, found[1])

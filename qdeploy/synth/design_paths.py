"""The paths of a synthesized design that are most at risk, before any placement.

One path per layer, and the longest of the flattened design, whose ends may lie in different layers.
Handshakes are what crosses: a `ready` that passes several layers without a register is longer than
anything inside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.artifacts import write_json
from qdeploy.build_folder import STATIC_TIMING_FILE
from qdeploy.design.manifest import Design
from qdeploy.devices.families import CellTimes
from qdeploy.synth.path_ends import layer_of
from qdeploy.synth.routed_delay import RoutedDelay
from qdeploy.synth.static_timing import CellPath, longest_paths

WHOLE = "the whole design"


@dataclass(frozen=True)
class RiskyPath:
    """A path, and the clock it is estimated to allow.

    Args:
        name: of the layer, `WHOLE` for the design's.
        fmax_mhz: an estimate.
        source, sink: layers in which it begins and ends.
    """

    name: str
    fmax_mhz: float
    source: str
    sink: str
    path: CellPath

    def as_dict(self) -> dict[str, Any]:
        """One entry of `static_timing.json`."""
        return {
            "name": self.name,
            "fmax_mhz": round(self.fmax_mhz, 1),
            "path_from": self.source,
            "path_to": self.sink,
            "hops": self.path.hops,
            "path": list(self.path.steps),
        }


@dataclass(frozen=True)
class DesignPaths:
    """The longest path of the design first, then those of its layers, longest first."""

    paths: tuple[RiskyPath, ...]
    source: str

    @property
    def whole(self) -> RiskyPath:
        """The longest path of the flattened design."""
        return self.paths[0]

    def save(self, folder: Path) -> None:
        """Write `static_timing.json` into `folder`, atomically."""
        paths = [path.as_dict() for path in self.paths]
        write_json(folder / STATIC_TIMING_FILE, {"source": self.source, "paths": paths})


def design_paths(
    netlist: Path, design: Design, times: CellTimes, delay: RoutedDelay, log: Path
) -> DesignPaths | None:
    """The paths of a design's netlist; None where no path is between cells with delays.

    Raises:
        ToolMissingError: there is no Yosys.
        ToolFailedError: it fails.
    """
    found = longest_paths([netlist], design.top, times, delay.net_ns, log)
    if design.top not in found:
        return None

    def risky(name: str, path: CellPath, source: str, sink: str) -> RiskyPath:
        return RiskyPath(name, 1e3 / (path.total_ns + delay.offset_ns), source, sink, path)

    whole = found[design.top]
    first, last = (layer_of(design, whole.steps[end].split()[1]) for end in (0, -1))
    layers = [
        risky(layer.name, found[layer.module], layer.name, layer.name)
        for layer in design.layers
        if layer.module in found
    ]
    layers.sort(key=lambda one: one.fmax_mhz)
    return DesignPaths(
        (risky(WHOLE, whole, first, last), *layers), f"Yosys sta, not placed: {delay.source}"
    )

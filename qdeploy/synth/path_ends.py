"""The layer in which a cell of a flattened design lies.

Flattening names a layer's cells `<module>_i.…`, and the wires that the design's top has between
layers `d0`, `v0`, `r0` (data, valid and ready of stream 0).
"""

from __future__ import annotations

import re

from qdeploy.design.manifest import Design

_WIRE = re.compile(r"[dvr](\d+)")
# What lies in no layer.
WIRING = "wiring between layers"


def layer_of(design: Design, name: str) -> str:
    """The layer of the cell or net called `name` in the flattened top, `WIRING` for none."""
    modules = {layer.module: layer.name for layer in design.layers}
    first = name.split(".")[0]
    wire = _WIRE.fullmatch(first.split("_")[0])
    if wire is not None and int(wire[1]) < len(design.streams):
        first = design.streams[int(wire[1])].source.module
    return modules.get(first.removesuffix("_i"), WIRING)

"""`PREFIX_prepare_real` of `network_io.c`: from real values to input codes.

    code = lowest + #{k : x >= T[row, k]}

The thresholds T are those of the network's file, float32, so that the code of every value is the
one that training and driver give it. Nothing is computed with real numbers, only compared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.codegen.c.text import array
from qdeploy.ir.input_codes import InputPreparation
from qdeploy.targets.template import filled


@dataclass(frozen=True)
class Loop:
    """How the loop over a frame's codes finds a value.

    Args:
        before: tables that `at` and `row` need.
        sizes: height, width and channels of the codes.
        at: expression of a value's place for y, x, c and the running index i.
        row: likewise of its row of thresholds.
    """

    before: str
    sizes: tuple[int, int, int]
    at: str
    row: str


def takes_real(found: InputPreparation, prepared: bool) -> bool:
    """Whether there is a function for real values.

    Args:
        prepared: whether the graph says how codes are made; a plain input is `x / scale`.
    """
    usable = bool(np.isfinite(found.thresholds).all()) and not any(found.falling)
    return prepared and found.raw is None and usable


def prepare_real(found: InputPreparation, prefix: str, loop: Loop) -> str:
    """The function and its tables."""
    count = found.thresholds.shape[1]
    edges = [f"{float(value).hex()}f" for value in found.thresholds.reshape(-1)]
    height, width, channels = loop.sizes
    return filled(
        "export/c/prepare_real.c.in",
        {
            "before": loop.before + "static " + array("float", "real_edges", edges),
            "prefix": prefix,
            "height": height,
            "width": width,
            "channels": channels,
            "at": loop.at,
            "row": loop.row,
            "count": count,
            "lowest": found.lo,
        },
    )


def declared(found: InputPreparation, prefix: str) -> str:
    """The declaration, with what it takes."""
    shape = ", ".join(str(size) for size in found.shape)
    size = 4 * found.thresholds.size
    return f"""
/* A frame of real values, ({shape}), as they were measured; each becomes the code that the training
 * gave it, values beyond the range the nearest one. The table takes {size:,} bytes of flash where
 * this is called; its comparisons are the only floating point here. */
void {prefix}_prepare_real(const float *values, {prefix}_input_t *codes_out);
"""

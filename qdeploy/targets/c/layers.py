"""Digests of what each layer writes for the golden frames: which layer is wrong on a device.

A CRC-32 of each boundary over all frames, as bytes in memory with the lowest one first: four bytes
a layer, and nothing is linked where nobody asks. The earliest that differs is the layer at fault:
what comes after it computes from its codes.
"""

from __future__ import annotations

import re
import zlib

from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.taps import stored_bytes
from qdeploy.codegen.c.text import array
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.reference import run_reference


def digest_tables(program: Program, codes: IntArray) -> dict[str, object]:
    """Fields of `golden_layers.c.in`.

    Args:
        codes: input codes (frames, *input shape) of the golden frames.
    """
    found = run_reference(program.graph, codes, accumulators=True)
    digests, sizes, elements, names = [], [], [], []
    for tensor in program.written:
        digest = zlib.crc32(stored_bytes(program, tensor, found[tensor.name]))
        digests.append(f"0x{digest:08X}u")
        sizes.append(f"{tensor.bytes}u")
        elements.append(str(1 if tensor.element.packed else tensor.element.size))
    for step in program.steps:
        held = [] if step.fused is None else step.fused.held
        names += [_quoted(f"{step.layer} ({one.name})") for one in (*held, step.result)]
    return {
        "layer_count": len(names),
        "digests": array("uint32_t", "expected", digests),
        "tap_bytes": array("uint32_t", "tap_bytes", sizes),
        "tap_elements": array("uint8_t", "tap_elements", elements),
        "layer_names": array("char *const", "layer_names", names),
    }


def _quoted(text: str) -> str:
    """A string of C; what could end it or begin an escape becomes `_`."""
    return '"' + re.sub(r'[^ -~]|["\\?]', "_", text) + '"'

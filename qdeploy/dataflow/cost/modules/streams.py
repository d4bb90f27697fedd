"""What joins blocks and layers: FIFOs, width converters, wider codes, the end of a frame."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import (
    MEASURED,
    Features,
    Parameters,
    clog2,
    features_of,
    ints,
    switches,
)


@features_of("qd_dwc")
def dwc(p: Parameters) -> Features:
    """`qd_dwc`: towards narrow beats the word is shifted through a multiplexer."""
    narrow, wide = sorted(ints(p, "IN_WIDTH", "OUT_WIDTH"))
    ratio = wide // narrow
    down = ints(p, "IN_WIDTH")[0] > narrow
    shifted = wide - narrow if down else 0
    return Features("", (1, clog2(ratio), shifted), (1, clog2(ratio), wide))


@features_of("qd_fifo")
def fifo(p: Parameters) -> Features:
    """`qd_fifo`: registers up to two words, else a memory; from 33 words on with an output register
    after the memory's read register."""
    width, depth = ints(p, "WIDTH", "DEPTH")
    if depth <= 2:
        return Features("registers", (1, width * (depth - 1)), (1, width * depth))
    mapped = MEASURED.ram(width, depth, str(p.get("RAM_STYLE", "auto")))
    address = clog2(depth)
    # Addresses of another depth than a power of two are compared with the last one.
    compared = address if depth != 1 << address else 0
    lut = (1, address, switches(width, mapped), mapped.banks - 1, compared)
    stored = width if mapped.kind != "block" else 0
    after = width + 1 if depth > 32 else 0
    ff = (1, address, stored + after)
    return Features("memory", lut, ff, mapped.lutram, mapped.bram18)


@features_of("qd_extend")
def extend(p: Parameters) -> Features:
    """`qd_extend`: wires."""
    return Features("", (0,), (0,))


@features_of("qd_tlast")
def tlast(p: Parameters) -> Features:
    """`qd_tlast`."""
    (beats,) = ints(p, "BEATS")
    return Features("", (1, clog2(beats)), (1, clog2(beats)))

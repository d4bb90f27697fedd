"""Codes of sums: compared, searched or multiplied."""

from __future__ import annotations

from qdeploy.dataflow.cost.features import (
    LOADS,
    MEASURED,
    Features,
    Parameters,
    clog2,
    features_of,
    ints,
    memory,
    rom_columns,
    rom_luts,
)

# Beyond, thresholds are searched (hw/rtl/qd_threshold.v).
_PARALLEL_LEVELS = 15
# Folds beyond which a register follows the memory of thresholds (qd_threshold.v).
_DEEP = 16


@features_of("qd_threshold")
def threshold(p: Parameters) -> Features:
    """`qd_threshold`: all levels at once, or one stage of a binary search per bit of the count."""
    channels, pe, acc, levels, out = ints(p, "C", "PE", "ACC", "NT", "OB")
    folds = channels // pe
    style = str(p.get("RAM_STYLE", "auto"))
    if levels <= _PARALLEL_LEVELS and not p.get("SEARCH"):
        width = pe * levels * acc
        table = memory(p, width, folds, style)
        tables = rom_luts(width, folds) if table.kind == "logic" and not p.get(LOADS) else 0.0
        constant = width if folds == 1 and not p.get(LOADS) else 0
        varying = width - constant
        held = rom_columns(width, folds) if table.kind == "logic" else 0.0
        beat = pe * (acc + levels)
        if folds > _DEEP:
            held, beat = held + (held or width), beat + pe * acc
        return Features(
            "parallel",
            (1, clog2(folds), varying, constant, tables, pe * (levels - 1), pe * out),
            (1, clog2(folds), held, beat, pe * out),
            table.lutram,
            table.bram18,
        )
    stages = clog2(levels + 1)
    blocks, tables, flops, lutram = 0, 0.0, 0.0, 0
    for stage in range(stages):
        table = memory(p, acc, folds << stage, style)
        blocks += pe * table.bram18
        lutram += pe * table.lutram
        if table.kind == "logic" and not p.get(LOADS):
            tables += pe * rom_luts(acc, folds << stage)
            flops += pe * rom_columns(acc, folds << stage)
        # The registers after the memory, and those of the beat that waits for it, twice.
        flops += pe * acc + 2 * (pe * (acc + stage + 1) + clog2(folds))
    capped = pe * stages if levels + 1 != 1 << stages else 0
    lut = (1, clog2(folds), pe * acc * stages, tables, capped, pe * out)
    return Features("search", lut, (1, clog2(folds), flops, pe * out), lutram, blocks)


@features_of("qd_requant")
def requant(p: Parameters) -> Features:
    """`qd_requant`: a multiplier and an addition per lane, then saturation."""
    channels, pe, acc, factor, offset = ints(p, "C", "PE", "ACC", "MB", "BB")
    shift, even, out = ints(p, "SHIFT", "EVEN", "OB")
    folds = channels // pe
    product = acc + factor
    total = max(product, offset) + 1
    quotient = max(total - shift, out) + 1
    uses_dsp = bool(p["USE_DSP"])
    latency = 1 if uses_dsp else factor
    queue = MEASURED.ram(pe * out, latency + 6)
    loaded = bool(p.get(LOADS))
    memories = memory(p, pe * factor, folds), memory(p, pe * offset, folds)
    tables = sum(
        rom_luts(pe * bits, folds)
        for bits, mapped in zip((factor, offset), memories, strict=True)
        if mapped.kind == "logic" and not loaded
    )
    # With one word of numbers they are constants: half of their bits add nothing.
    constant = folds == 1 and not loaded
    steps = 0 if uses_dsp else pe * factor * (acc + 1)
    held = 0 if uses_dsp else pe * sum(acc + (factor - i) + acc + i for i in range(factor))
    control = clog2(folds)
    lut = (
        1,
        control,
        clog2(latency + 6),
        0 if constant else steps,
        steps if constant else 0,
        pe * total,
        pe * quotient,
        pe * shift * even,
        pe * out,
        tables,
    )
    read = rom_columns(pe * factor, folds) + rom_columns(pe * offset, folds)
    ff = (
        1,
        control,
        latency,
        0 if constant else held,
        held if constant else 0,
        pe * acc + read,
        pe * total,
        pe * out,
    )
    return Features(
        "",
        lut,
        ff,
        queue.lutram + sum(mapped.lutram for mapped in memories),
        queue.bram18 + sum(mapped.bram18 for mapped in memories),
        pe * MEASURED.dsps(acc, factor + 1) if uses_dsp else 0,
    )

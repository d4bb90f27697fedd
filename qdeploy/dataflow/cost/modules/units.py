"""Units of dot products: adder trees, counters, weights and results."""

from __future__ import annotations

import functools

from qdeploy.dataflow.cost.features import (
    LOADS,
    MEASURED,
    Features,
    Parameters,
    clog2,
    cycle_bits,
    features_of,
    ints,
    memory,
    rom_columns,
    rom_luts,
    switches,
)
from qdeploy.dataflow.rtl.products import READ_MEMORY, DotKind
from qdeploy.devices.xc7_memories import Mapped

# Folds beyond which a register follows the memory of thresholds (qd_results.v).
_DEEP = 16
_SLICE_WORDS = 128
_KINDS = ("planes", "tables", "dsp", "xnor")


@functools.lru_cache(maxsize=4096)
def nines(lanes: int) -> tuple[int, int]:
    """LUTs and flip-flops of the counters of nine of one plane of `lanes` lanes."""
    full, rest = divmod(lanes, 9)
    tables = 10 * full
    if rest:
        tables += rest if rest < 3 else 2 if rest == 3 else 2 * -(-rest // 3) + rest.bit_length()
    return tables, 4 * full + rest.bit_length()


@functools.lru_cache(maxsize=4096)
def tree(numbers: int, bits: int) -> tuple[int, int, int]:
    """Adder bits of the first level of `qd_adder_tree`, of all levels, and its flip-flops."""
    first = total = registers = 0
    level = 0
    while numbers > 1:
        pairs = numbers // 2
        total += pairs * (bits + level + 1)
        first = first or total
        numbers -= pairs
        registers += numbers * (bits + level + 1)
        level += 1
    return first, total, registers


@functools.lru_cache(maxsize=4096)
def planes(lanes: int, weight_bits: int, bits: int) -> tuple[int, int, int]:
    """Of `qd_dot_planes`: LUTs of the counters, adder bits, flip-flops."""
    groups = (lanes + 8) // 9
    count = 4 + clog2(groups)
    tables, registers = nines(lanes)
    _, added, held = tree(groups, 4)
    pairs = weight_bits * bits
    adders = pairs * added + weight_bits * (bits - 1) * (count + 1)
    adders += (weight_bits - 1) * (count + bits + 1)
    flops = pairs * (registers + held)
    flops += weight_bits * sum((count + 1 + k) + (k - 1) * count for k in range(1, bits))
    flops += sum((count + bits + 1 + k) + (k - 1) * (count + bits) for k in range(1, weight_bits))
    return pairs * tables, adders, flops


def results(
    p: Parameters, steps: int, folds: int
) -> tuple[tuple[float, ...], tuple[float, ...], Mapped, Mapped]:
    """`qd_results`: (LUT counts, FF counts, memory of thresholds, memory of the queue)."""
    lanes, acc, levels, out = ints(p, "PE", "ACC", "NT", "OB")
    queue = MEASURED.ram(lanes * out, 4)
    table = Mapped("logic")
    tables = 0.0
    if levels:
        width = lanes * levels * acc
        table = memory(p, width, folds, str(p.get("TRAM_STYLE", "auto")))
        if table.kind == "logic" and not p.get(LOADS):
            tables = rom_luts(width, folds)
    compared = lanes * levels * acc
    constant = compared if levels and folds == 1 and not p.get(LOADS) else 0
    added = lanes * acc if steps > 1 else 0
    lut = (added, compared - constant, constant, tables, lanes * max(levels - 1, 0), lanes * out)
    held = rom_columns(compared, folds) if table.kind != "block" else 0
    if folds > _DEEP:
        held += held or compared
    return lut, (lanes * acc, held, lanes * levels, lanes * out), table, queue


@features_of("qd_mvu")
def mvu(p: Parameters) -> Features:
    """`qd_mvu`."""
    columns, rows, pe, simd = ints(p, "MW", "MH", "PE", "SIMD")
    (bits,) = ints(p, "AB")
    sf, nf = columns // simd, rows // pe
    ring = MEASURED.ram(simd * bits, 2 * sf) if nf > 1 else Mapped("logic")
    control = cycle_bits(sf) + cycle_bits(nf) + clog2(sf * nf)
    if nf > 1:
        control += 4 * clog2(2 * sf + 1)
    words = sf * nf
    twice = words > 1 and p.get("READ", READ_MEMORY) == READ_MEMORY
    return _unit(p, pe, simd, sf, nf, words, control, ring, simd * bits, twice)


@features_of("qd_unrolled")
def unrolled(p: Parameters) -> Features:
    """`qd_unrolled`: its sums are counted by construction (`constant_circuit`)."""
    columns, bits, sum_lut, sum_ff = ints(p, "MW", "AB", "SUM_LUT", "SUM_FF")
    (latency,) = ints(p, "LATENCY")
    of_results, ff_results, _, queue = results({**p, "PE": p["MH"]}, 1, 1)
    return Features(
        "",
        (1, clog2(latency), sum_lut, *of_results),
        (1, latency, sum_ff, columns * bits, *ff_results),
        queue.lutram,
    )


@features_of("qd_depthwise")
def depthwise(p: Parameters) -> Features:
    """`qd_depthwise`."""
    channels, positions, pe, bits = ints(p, "C", "K", "PE", "AB")
    folds = channels // pe
    control = cycle_bits(positions) + clog2(folds * positions)
    none = Mapped("logic")
    return _unit(p, pe, 1, positions, folds, folds * positions, control, none, pe * bits, True)


def _unit(
    p: Parameters,
    pe: int,
    simd: int,
    steps: int,
    folds: int,
    words: int,
    control: int,
    ring: Mapped,
    beat: int,
    twice: bool,
) -> Features:
    """A unit of pe dot products of simd lanes, with weights, results and what feeds it.

    With `twice` a second register follows the weights' memory and the beat that waits for it.

    The ways to multiply share the coefficients of everything else; weights that never change
    (one word) are folded into the logic and counted for themselves.
    """
    weight_bits, bits = ints(p, "WB", "AB")
    lanes, width = pe * simd, weight_bits + bits
    kind = _kind(p)
    products, dsp = 0.0, 0
    if kind == "planes":
        counted, adders, flops = planes(simd, weight_bits, bits)
        products = float(pe * counted)
    elif kind == "xnor":
        counted, registers = nines(simd)
        _, adders, held = tree((simd + 8) // 9, 4)
        products = float(pe * counted)
        adders += 2 + clog2(simd)
        flops = registers + held + 2 + clog2(simd)
    else:
        first, adders, flops = tree(simd, width)
        if kind == "dsp":
            # Additions of the first level go into the DSP blocks.
            products, dsp = float(pe * first), lanes
            adders -= first
        else:
            products = float(lanes * weight_bits * bits)
            flops += simd * width
    loaded = bool(p.get(LOADS))
    constant = "constant" if words == 1 and not loaded else kind
    rest = int(p.get("WREST", 0))
    weights = memory(p, lanes * weight_bits - rest, words, str(p.get("WRAM_STYLE", "auto")))
    columns = lanes * weight_bits if weights.kind == "logic" and not loaded else rest
    tables = rom_luts(columns, words)
    # Beyond what one slice's multiplexers join there is more than the tables.
    deep = tables if words > _SLICE_WORDS else 0.0
    read = rom_columns(columns, words)
    of_results, ff_results, thresholds, queue = results(p, steps, folds)
    kinds = (*_KINDS, "constant")
    lut = (
        1,
        control,
        *(products if each == constant else 0.0 for each in kinds),
        *(float(pe * adders) if each == constant else 0.0 for each in kinds),
        deep,
        switches(beat, ring) + switches(lanes * weight_bits, weights),
        *of_results,
    )
    ff = (
        1,
        control,
        *(float(pe * flops) if each == constant else 0.0 for each in kinds),
        read,
        2 * beat + lanes * weight_bits if twice else beat,
        *ff_results,
    )
    return Features(
        "",
        lut,
        ff,
        ring.lutram + queue.lutram + weights.lutram + thresholds.lutram,
        ring.bram18 + weights.bram18 + thresholds.bram18 + queue.bram18,
        dsp,
        round(tables - deep),
    )


def _kind(p: Parameters) -> str:
    """How a unit multiplies."""
    if p["DOT"] == DotKind.MULTIPLIERS:
        return "dsp" if p["USE_DSP"] else "tables"
    return "planes" if p["DOT"] == DotKind.PLANES else "xnor"

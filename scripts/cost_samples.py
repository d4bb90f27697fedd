"""Blocks to measure: parameters drawn over the ranges networks use, memories like trained ones.

Weights are normal numbers rounded to their code range, thresholds rise evenly around zero: what is
constant, alike or rare in a memory decides what its tables cost, so uniform bits would mislead.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import cost_samples_streams as streams
import numpy as np
from cost_samples_streams import Memories, Sample, divisor

from qdeploy.dataflow.backends.unrolled import unrolled_block
from qdeploy.dataflow.rtl.memories import hex_lines, threshold_files, weight_lines, wide_lines
from qdeploy.dataflow.rtl.products import READ_MEMORY, READ_TABLES, DotKind
from qdeploy.dataflow.rtl.unit import Block

_DOTS = {"planes": DotKind.PLANES, "xnor": DotKind.XNOR}


def _weights(rng: np.random.Generator, rows: int, columns: int, bits: int) -> np.ndarray:
    """Narrow-range codes: normal numbers, the largest code at about two and a half sigma."""
    if bits == 1:
        return rng.integers(0, 2, (rows, columns))
    top = (1 << (bits - 1)) - 1
    scale = top / 2.5 if bits > 2 else 0.8
    return np.clip(np.rint(rng.normal(0, scale, (rows, columns))), -top, top).astype(np.int64)


def _thresholds(
    rng: np.random.Generator, channels: int, levels: int, bits: int, spread: float
) -> np.ndarray:
    """Rising evenly, each channel with its own step and middle, as batch norm gives them."""
    step = spread * rng.uniform(0.4, 1.2, (channels, 1)) * 2 / levels
    middle = spread * rng.normal(0, 0.3, (channels, 1)) + spread / 2
    table = np.rint(middle + step * (np.arange(levels) - (levels - 1) / 2)).astype(np.int64)
    top = (1 << (bits - 1)) - 1
    return np.clip(np.sort(table, axis=1), -top, top)


def _bias(rng: random.Random) -> Sample:
    channels = rng.choice([10, 16, 32, 64])
    lanes, bits, offset = divisor(rng, channels, 8), rng.randint(8, 18), rng.randint(6, 14)
    out = max(bits, offset) + 1
    p: dict[str, int | str] = {
        "C": channels,
        "PE": lanes,
        "IB": bits,
        "BB": offset,
        "OB": out,
        "BFILE": "b.hex",
    }
    numbers = [rng.randrange(-(1 << (offset - 1)), 1 << (offset - 1)) for _ in range(channels)]
    block = Block("qd_bias", p, (lanes * bits,), (lanes * out,))
    return Sample(block, {"b.hex": wide_lines(numbers, lanes, offset)})


def _threshold(rng: random.Random, *, search: bool = False) -> Sample:
    """With `search`, few levels are searched."""
    draws = np.random.default_rng(rng.getrandbits(32))
    channels = rng.choice([8, 16, 32, 64, 128])
    lanes, bits = divisor(rng, channels, 16), rng.randint(6, 14)
    code = rng.choice([1, 2, 2, 3, 4, 5, 6, 8])
    if search:
        code = rng.choice([3, 4, 4])
    levels = (1 << code) - 1
    if levels > 15 or search:
        lanes, bits = min(lanes, 4), max(bits, code + 3)
    table = _thresholds(draws, channels, levels, bits, (1 << (bits - 1)) * rng.uniform(0.1, 0.6))
    p: dict[str, int | str] = {
        "C": channels,
        "PE": lanes,
        "ACC": bits,
        "NT": levels,
        "OB": code,
        "BASE": 0,
        "SEARCH": int(search),
        "TFILE": "t",
    }
    block = Block("qd_threshold", p, (lanes * bits,), (lanes * code,))
    return Sample(block, threshold_files("t", table, lanes, bits, search=search))


def _requant(rng: random.Random, *, shared: bool = False) -> Sample:
    """With `shared`, all channels have one multiplier and one bias: constants."""
    channels = rng.choice([8, 16, 32, 64, 96])
    lanes, acc, out = divisor(rng, channels, 6), rng.randint(9, 19), rng.choice([5, 6, 8])
    factor, dsp = rng.randint(4, 12), rng.choice([1, 0])
    if shared:
        channels, dsp = lanes, 0
    shift = acc + factor - out - rng.randint(0, 2)
    offset = shift + out - 1
    p: dict[str, int | str] = {
        "C": channels,
        "PE": lanes,
        "ACC": acc,
        "MB": factor,
        "BB": offset,
        "SHIFT": shift,
        "EVEN": 0,
        "OB": out,
        "LO": 0,
        "HI": (1 << out) - 1,
        "USE_DSP": dsp,
        "MFILE": "m.hex",
        "BFILE": "b.hex",
    }
    factors = [rng.randrange(1 << (factor - 2), 1 << factor) for _ in range(channels)]
    half = 1 << (offset - 1)
    offsets = [max(-half, min(half - 1, round(rng.gauss(0, half / 2)))) for _ in range(channels)]
    if shared:
        factors, offsets = factors[:1] * lanes, offsets[:1] * lanes
    block = Block("qd_requant", p, (lanes * acc,), (lanes * out,))
    return Sample(
        block,
        {"m.hex": wide_lines(factors, lanes, factor), "b.hex": wide_lines(offsets, lanes, offset)},
    )


def _levels(rng: random.Random) -> tuple[int, int]:
    """Number of thresholds and code bits: mostly as many as two-bit codes need."""
    code = rng.choice([0, 1, 2, 2, 2, 3, 4])
    return (1 << code) - 1, code


def _matrix(rng: random.Random, dot: str, most: int, *, deep: bool = False) -> Sample:
    """With `deep`, many words of weights in tables."""
    weight_bits, bits = {
        "planes": lambda: (rng.choice([2, 2, 2, 3]), rng.choice([1, 2, 2, 2, 3])),
        "tables": lambda: (rng.choice([2, 3, 4, 4, 8]), rng.choice([4, 4, 5, 8])),
        "dsp": lambda: (rng.choice([6, 8, 8]), rng.choice([6, 8, 8])),
        "xnor": lambda: (1, 1),
    }[dot]()
    while True:
        kernel = rng.choice([1, 1, 9])
        columns = kernel * rng.choice([3, 8, 16, 24, 32, 64])
        rows = rng.choice([8, 10, 16, 32, 64])
        simd, pe = divisor(rng, columns, 96), divisor(rng, rows, 32)
        words = columns * rows // (pe * simd)
        if deep and not 128 < words <= 1536:
            continue
        if most // 12 <= pe * simd <= most and words <= 4608:
            break
    draws = np.random.default_rng(rng.getrandbits(32))
    top = (1 << max(weight_bits - 1, 1)) - 1
    acc = (columns * top * ((1 << bits) - 1)).bit_length() + 1
    levels, code = _levels(rng)
    out = code if levels else acc
    p: dict[str, int | str] = {
        "MW": columns,
        "MH": rows,
        "PE": pe,
        "SIMD": simd,
        "WB": weight_bits,
        "AB": bits,
        "ASIGNED": 0,
        "DOT": _DOTS.get(dot, DotKind.MULTIPLIERS),
        "USE_DSP": int(dot == "dsp"),
        "READ": READ_TABLES if deep else READ_MEMORY,
        "WFILE": "w.hex",
        "WRAM_STYLE": "registers" if deep else "auto" if words <= 128 else "block",
        "ACC": acc,
        "NT": levels,
        "OB": out,
        "BASE": 0,
        "TFILE": "t.hex",
    }
    matrix = _weights(draws, rows, columns, weight_bits)
    memories = {"w.hex": weight_lines(matrix, pe, simd, weight_bits)}
    if levels:
        spread = float(np.sqrt(columns) * (np.abs(matrix).mean() + 0.3) * ((1 << bits) - 1))
        table = _thresholds(draws, rows, levels, acc, spread)
        memories |= threshold_files("t", table, pe, acc)
    return Sample(Block("qd_mvu", p, (simd * bits,), (pe * out,)), memories)


def _unrolled(rng: random.Random, index: int) -> Sample:
    """All weights in the logic; the last ones 8 bits wide."""
    weight_bits, bits = (8, 8) if index >= 9 else rng.choice([(2, 2), (2, 2), (2, 1), (3, 3)])
    rows = rng.choice([4, 8, 10, 16] if index >= 9 else [8, 10, 16, 32])
    columns = rng.choice([9, 16, 27]) if index >= 9 else rng.choice([27, 36, 64, 72, 144])
    draws = np.random.default_rng(rng.getrandbits(32))
    matrix = _weights(draws, rows, columns, weight_bits)
    top = (1 << (weight_bits - 1)) - 1
    acc = (columns * top * ((1 << bits) - 1)).bit_length() + 1
    levels, code = _levels(rng)
    p: dict[str, int | str] = {
        "ACC": acc,
        "NT": levels,
        "OB": code if levels else acc,
        "BASE": 0,
        "TFILE": "t.hex",
    }
    memories: Memories = {}
    if levels:
        spread = float(np.sqrt(columns) * (np.abs(matrix).mean() + 0.3) * ((1 << bits) - 1))
        memories = threshold_files("t", _thresholds(draws, rows, levels, acc, spread), rows, acc)
    return Sample(unrolled_block(matrix, bits, False, p, int(p["OB"])), memories)


def _depthwise(rng: random.Random) -> Sample:
    dsp = rng.choice([False, False, False, True])
    weight_bits, bits = rng.choice([(8, 8), (8, 6)] if dsp else [(2, 2), (2, 2), (4, 4), (3, 4)])
    channels, positions = rng.choice([8, 16, 24, 32, 48, 96]), rng.choice([9, 9, 25])
    pe = divisor(rng, channels, 16)
    draws = np.random.default_rng(rng.getrandbits(32))
    acc = (positions * ((1 << (weight_bits - 1)) - 1) * ((1 << bits) - 1)).bit_length() + 1
    levels, code = _levels(rng)
    out = code if levels else acc
    p: dict[str, int | str] = {
        "C": channels,
        "K": positions,
        "PE": pe,
        "WB": weight_bits,
        "AB": bits,
        "ASIGNED": 0,
        "DOT": DotKind.MULTIPLIERS,
        "USE_DSP": int(dsp),
        "WFILE": "w.hex",
        "ACC": acc,
        "NT": levels,
        "OB": out,
        "BASE": 0,
        "TFILE": "t.hex",
    }
    kernels = _weights(draws, channels, positions, weight_bits)
    words = kernels.reshape(channels // pe, pe, positions).transpose(0, 2, 1)
    memories = {"w.hex": hex_lines(words, weight_bits, pe)}
    if levels:
        spread = float(np.sqrt(positions) * (np.abs(kernels).mean() + 0.3) * ((1 << bits) - 1))
        memories |= threshold_files("t", _thresholds(draws, channels, levels, acc, spread), pe, acc)
    return Sample(Block("qd_depthwise", p, (pe * bits,), (pe * out,)), memories)


def _matrices(rng: random.Random, index: int) -> Sample:
    """Mostly bit planes of all sizes; some multipliers, DSP blocks and XNOR."""
    if index >= 35:
        return _matrix(rng, "planes", 12, deep=True)
    kind = ("planes", "planes", "tables", "planes", "dsp", "planes", "xnor")[index % 7]
    most = 320 if index == 33 else (24, 96, 48)[index // 7 % 3]
    return _matrix(rng, kind, most if kind in ("planes", "xnor") else min(most, 96))


# Module -> how many to measure, and what draws the n-th.
_DRAWN: dict[str, tuple[int, Callable[[random.Random, int], Sample]]] = {
    "qd_fork": (2, lambda rng, _: streams.fork(rng)),
    "qd_extend": (1, lambda rng, _: streams.extend(rng)),
    "qd_tlast": (5, lambda rng, _: streams.tlast(rng)),
    "qd_concat": (10, lambda rng, _: streams.concat(rng)),
    "qd_beside": (5, lambda rng, _: streams.beside(rng)),
    "qd_upsample": (14, lambda rng, _: streams.upsample(rng)),
    "qd_dilate": (8, lambda rng, _: streams.dilate(rng)),
    "qd_depth_to_space": (10, lambda rng, _: streams.depth_to_space(rng)),
    "qd_add": (9, lambda rng, _: streams.add(rng)),
    "qd_dwc": (12, lambda rng, _: streams.dwc(rng)),
    "qd_fifo": (18, lambda rng, _: streams.fifo(rng)),
    "qd_pad": (9, lambda rng, _: streams.pad(rng)),
    "qd_maxpool": (9, lambda rng, _: streams.maxpool(rng)),
    "qd_global_sum": (9, lambda rng, _: streams.global_sum(rng)),
    "qd_argmax": (8, lambda rng, _: streams.argmax(rng)),
    "qd_bias": (7, lambda rng, _: _bias(rng)),
    "qd_window": (20, lambda rng, _: streams.window(rng)),
    "qd_window_parallel": (8, lambda rng, _: streams.window_parallel(rng)),
    "qd_threshold": (28, lambda rng, index: _threshold(rng, search=index >= 20)),
    "qd_requant": (16, lambda rng, index: _requant(rng, shared=index >= 12)),
    "qd_depthwise": (14, lambda rng, _: _depthwise(rng)),
    "qd_mvu": (40, _matrices),
    "qd_unrolled": (12, _unrolled),
}
MODULES = tuple(_DRAWN)


def samples(module: str) -> list[Sample]:
    """The blocks of one module to measure, the same ones every time."""
    count, draw = _DRAWN[module]
    return [draw(random.Random(f"{module} {index}"), index) for index in range(count)]

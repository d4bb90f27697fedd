"""The blocks whose clock bench/fmax.py measures: every module of `hw/rtl` that a unit instantiates.

The parameters are those of layers of the networks in models/ (the 32x32x3 residual networks, their
MobileNetV2, the Fashion-MNIST and digits networks), folded for the rates that
bench/hardware.py requests, and the extremes of widths, levels and depths that a folding may choose.
Weights, thresholds and the like are drawn as training would leave them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from qdeploy.dataflow.backends.unrolled import unrolled_block
from qdeploy.dataflow.rtl.memories import hex_lines, threshold_files, weight_lines, wide_lines
from qdeploy.dataflow.rtl.products import READ_MEMORY, READ_TABLES, DotKind
from qdeploy.dataflow.rtl.unit import Block

Parameters = dict[str, int | str]

_NAMES = {DotKind.PLANES: "planes", DotKind.MULTIPLIERS: "mult", DotKind.XNOR: "xnor"}


@dataclass(frozen=True)
class Timed:
    """A block to time: its row's name, the block, its memory files."""

    name: str
    block: Block
    memories: dict[str, list[str]] = field(default_factory=dict)

    @property
    def dsp(self) -> bool:
        """Whether multiplications may become DSP blocks."""
        return self.block.parameters.get("USE_DSP") == 1


def timed_blocks() -> Iterator[Timed]:
    """All blocks, module by module."""
    yield from _matrices()
    yield from _unrolled()
    yield from _depthwise()
    yield from _after_sums()
    yield from _windows()
    yield from _pooling()
    yield from _streams()


def _codes(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Weights in narrow range; of one bit, bits."""
    if bits == 1:
        return rng.integers(0, 2, shape)
    top = (1 << (bits - 1)) - 1
    return np.clip(np.rint(rng.normal(0, max(top / 2.5, 0.8), shape)), -top, top).astype(np.int64)


def _levels(rng: np.random.Generator, channels: int, levels: int, bits: int) -> np.ndarray:
    half = 1 << (bits - 1)
    return np.sort(rng.integers(-half // 2, half // 2, (channels, levels)), axis=1)


def _mvu(
    dot: DotKind,
    matrix: tuple[int, int],
    fold: tuple[int, int],
    bits: tuple[int, int],
    levels: int,
    style: str = "auto",
    *,
    dsp: bool = False,
) -> Timed:
    (columns, rows), (simd, pe), (weight_bits, code_bits) = matrix, fold, bits
    rng = np.random.default_rng(columns * rows + simd)
    top = (1 << max(weight_bits - 1, 1)) - 1
    acc = (columns * top * ((1 << code_bits) - 1)).bit_length() + 1
    out = levels.bit_length() or acc
    parameters: Parameters = {"MW": columns, "MH": rows, "PE": pe, "SIMD": simd}
    parameters |= {"WB": weight_bits, "AB": code_bits, "ASIGNED": 0, "DOT": dot}
    parameters |= {"USE_DSP": int(dsp), "WFILE": "w.hex", "WRAM_STYLE": style}
    parameters |= {"READ": READ_TABLES if style == "registers" else READ_MEMORY}
    parameters |= {"ACC": acc, "NT": levels, "OB": out, "BASE": 0, "TFILE": "t.hex"}
    weights = _codes(rng, (rows, columns), weight_bits)
    memories = {"w.hex": weight_lines(weights, pe, simd, weight_bits)}
    if levels:
        memories |= threshold_files("t", _levels(rng, rows, levels, acc), pe, acc)
    kind = "DSP" if dsp else _NAMES[dot]
    name = f"qd_mvu {kind} W{weight_bits}A{code_bits} SIMD {simd} PE {pe} {levels} levels {style}"
    return Timed(name, Block("qd_mvu", parameters, (simd * code_bits,), (pe * out,)), memories)


def _matrices() -> Iterator[Timed]:
    yield _mvu(DotKind.PLANES, (27, 16), (27, 4), (2, 2), 3)
    yield _mvu(DotKind.PLANES, (144, 16), (144, 1), (2, 2), 3)
    yield _mvu(DotKind.PLANES, (144, 16), (48, 2), (2, 2), 3, "registers")
    yield _mvu(DotKind.PLANES, (288, 64), (32, 2), (2, 2), 3, "block")
    yield _mvu(DotKind.PLANES, (64, 64), (16, 1), (2, 2), 3, "registers")
    yield _mvu(DotKind.PLANES, (48, 48), (12, 1), (4, 4), 15, "block")
    yield _mvu(DotKind.XNOR, (144, 16), (144, 2), (1, 1), 1)
    yield _mvu(DotKind.MULTIPLIERS, (27, 16), (9, 1), (8, 8), 3, "registers")
    yield _mvu(DotKind.MULTIPLIERS, (64, 10), (1, 1), (8, 8), 0, "registers")
    yield _mvu(DotKind.MULTIPLIERS, (12, 288), (6, 1), (4, 4), 15, "block")
    yield _mvu(DotKind.MULTIPLIERS, (27, 16), (9, 2), (8, 8), 3, "registers", dsp=True)
    yield _mvu(DotKind.MULTIPLIERS, (64, 10), (16, 1), (8, 8), 0, "block", dsp=True)


def _unrolled() -> Iterator[Timed]:
    for rows, columns, weight_bits, bits, levels in ((16, 144, 2, 2, 3), (8, 27, 8, 8, 3)):
        weights = _codes(np.random.default_rng(rows), (rows, columns), weight_bits)
        top = (1 << (weight_bits - 1)) - 1
        acc = (columns * top * ((1 << bits) - 1)).bit_length() + 1
        out = levels.bit_length()
        activation: Parameters = {"ACC": acc, "NT": levels, "OB": out, "BASE": 0, "TFILE": "t.hex"}
        block = unrolled_block(weights, bits, False, activation, out)
        rng = np.random.default_rng(levels)
        memories = threshold_files("t", _levels(rng, rows, levels, acc), rows, acc)
        name = f"qd_unrolled W{weight_bits}A{bits} {columns} x {rows} {levels} levels"
        yield Timed(name, block, memories)


def _depthwise() -> Iterator[Timed]:
    for dot, channels, pe, bits, levels, dsp in (
        (DotKind.PLANES, 48, 4, 2, 3, False),
        (DotKind.MULTIPLIERS, 48, 3, 4, 15, False),
        (DotKind.MULTIPLIERS, 96, 4, 8, 0, True),
    ):
        rng = np.random.default_rng(channels + bits)
        acc = (9 * ((1 << (bits - 1)) - 1) * ((1 << bits) - 1)).bit_length() + 1
        out = levels.bit_length() or acc
        parameters: Parameters = {"C": channels, "K": 9, "PE": pe, "WB": bits, "AB": bits}
        parameters |= {"ASIGNED": 0, "ACC": acc, "NT": levels, "OB": out, "BASE": 0, "DOT": dot}
        parameters |= {"USE_DSP": int(dsp), "WFILE": "w.hex", "TFILE": "t.hex"}
        words = _codes(rng, (channels // pe, 9, pe), bits)
        memories = {"w.hex": hex_lines(words, bits, pe)}
        if levels:
            memories |= threshold_files("t", _levels(rng, channels, levels, acc), pe, acc)
        block = Block("qd_depthwise", parameters, (pe * bits,), (pe * out,))
        kind = "DSP" if dsp else _NAMES[dot]
        yield Timed(f"qd_depthwise {kind} W{bits}A{bits} PE {pe} {levels} levels", block, memories)


def _after_sums() -> Iterator[Timed]:
    for channels, pe, acc, levels in ((64, 4, 12, 3), (288, 1, 16, 15), (96, 2, 14, 31)):
        yield _threshold(channels, pe, acc, levels)
    yield _threshold(96, 2, 14, 15, search=True)
    yield _threshold(64, 2, 18, 255)
    for dsp, pe, acc, factor, out in (
        (0, 4, 16, 8, 8),
        (0, 2, 20, 12, 8),
        (1, 4, 16, 8, 8),
        (1, 2, 20, 20, 8),
        (1, 4, 11, 24, 5),
    ):
        channels, shift = 64, acc + factor - out - 1
        rng = np.random.default_rng(acc + factor)
        bias = shift + out - 1
        parameters: Parameters = {"C": channels, "PE": pe, "ACC": acc, "MB": factor, "BB": bias}
        parameters |= {"SHIFT": shift, "EVEN": dsp, "OB": out, "LO": 0}
        parameters |= {"HI": (1 << out) - 1, "USE_DSP": dsp, "MFILE": "m.hex", "BFILE": "b.hex"}
        factors = rng.integers(1 << (factor - 2), 1 << factor, channels)
        biases = rng.integers(-(1 << (bias - 1)), 1 << (bias - 1), channels)
        memories = {"m.hex": wide_lines(factors, pe, factor), "b.hex": wide_lines(biases, pe, bias)}
        block = Block("qd_requant", parameters, (pe * acc,), (pe * out,))
        where = "DSP" if dsp else "tables"
        yield Timed(f"qd_requant {where} {acc} x {factor} bits PE {pe}", block, memories)
    biases = np.random.default_rng(3).integers(-(1 << 15), 1 << 15, 64)
    parameters = {"C": 64, "PE": 4, "IB": 18, "BB": 16, "OB": 19, "BFILE": "b.hex"}
    block = Block("qd_bias", parameters, (72,), (76,))
    yield Timed("qd_bias 18 + 16 bits PE 4", block, {"b.hex": wide_lines(biases, 4, 16)})
    for number, pe, bits in ((10, 10, 20), (10, 1, 16), (100, 10, 18)):
        index = (number - 1).bit_length()
        parameters = {"N": number, "PE": pe, "BITS": bits, "IDX": index}
        yield _stream(
            f"qd_argmax {number} of {bits} bits PE {pe}", "qd_argmax", parameters, pe * bits, index
        )


def _threshold(channels: int, pe: int, acc: int, levels: int, *, search: bool = False) -> Timed:
    rng = np.random.default_rng(levels)
    out = levels.bit_length()
    parameters: Parameters = {"C": channels, "PE": pe, "ACC": acc, "NT": levels, "OB": out}
    parameters |= {"BASE": 0, "SEARCH": int(search), "TFILE": "t"}
    block = Block("qd_threshold", parameters, (pe * acc,), (pe * out,))
    memories = threshold_files("t", _levels(rng, channels, levels, acc), pe, acc, search=search)
    kind = " searched" if search else ""
    return Timed(f"qd_threshold {levels} levels{kind} of {acc} bits PE {pe}", block, memories)


def _stream(name: str, module: str, parameters: Parameters, bits_in: int, bits_out: int) -> Timed:
    return Timed(name, Block(module, parameters, (bits_in,), (bits_out,)))


def _windows() -> Iterator[Timed]:
    for width, side, kernel, stride, folds, depthwise in (
        (24, 34, 3, 1, 1, 0),
        (32, 34, 3, 1, 1, 0),
        (64, 18, 3, 2, 1, 0),
        (8, 18, 3, 1, 16, 0),
        (16, 18, 3, 2, 12, 1),
        (2, 32, 2, 2, 32, 0),
        (8, 32, 1, 2, 8, 0),
    ):
        parameters: Parameters = {"WIDTH": width, "H": side, "W": side, "KH": kernel, "KW": kernel}
        parameters |= {"SH": stride, "SW": stride, "DH": 1, "DW": 1, "CF": folds}
        parameters |= {"DEPTHWISE": depthwise}
        kind = " depthwise" if depthwise else ""
        name = f"qd_window{kind} {side}x{side} {width} bits kernel {kernel} stride {stride}"
        yield _stream(f"{name} folds {folds}", "qd_window", parameters, width, width)
    for width, side, stride, dilation in (
        (24, 34, 1, 1),
        (32, 34, 1, 1),
        (64, 18, 2, 1),
        (128, 10, 1, 1),
        (16, 18, 1, 2),
    ):
        parameters = {
            "WIDTH": width,
            "H": side,
            "W": side,
            "KH": 3,
            "KW": 3,
            "SH": stride,
            "SW": stride,
            "DH": dilation,
            "DW": dilation,
        }
        name = f"qd_window_parallel {side}x{side} {width} bits stride {stride} dilation {dilation}"
        yield _stream(name, "qd_window_parallel", parameters, width, 9 * width)


def _pooling() -> Iterator[Timed]:
    for lanes, bits, signed in ((16, 2, 0), (8, 8, 1)):
        parameters: Parameters = {"K": 4, "PE": lanes, "BITS": bits, "SIGNED": signed}
        yield _stream(
            f"qd_maxpool {lanes} of {bits} bits",
            "qd_maxpool",
            parameters,
            lanes * bits,
            lanes * bits,
        )
    for lanes, bits, folds, out in ((1, 2, 64, 8), (4, 8, 16, 14), (16, 4, 1, 10)):
        parameters = {"PE": lanes, "BITS": bits, "SIGNED": 0, "CF": folds, "PIXELS": 64, "OB": out}
        yield _stream(
            f"qd_global_sum {lanes} of {out} bits folds {folds}",
            "qd_global_sum",
            parameters,
            lanes * bits,
            lanes * out,
        )
    for lanes, bits in ((16, 4), (4, 12), (2, 20)):
        parameters = {"PE": lanes, "B0": bits, "S0": 1, "B1": bits, "S1": 0, "OB": bits + 2}
        block = Block("qd_add", parameters, (lanes * bits,) * 2, (lanes * (bits + 2),))
        yield Timed(f"qd_add {lanes} of {bits} bits", block)
    for code, lanes, folds in ((2, 16, 1), (8, 3, 1), (4, 2, 24)):
        bits = code * lanes
        parameters = {"WIDTH": bits, "CF": folds, "H": 32, "W": 32, "PT": 1, "PL": 1, "PB": 1}
        parameters |= {"PR": 1, "BITS": code, "VALUE": 0}
        yield _stream(f"qd_pad {bits} bits folds {folds}", "qd_pad", parameters, bits, bits)


def _enlarging() -> Iterator[Timed]:
    """Concatenations, repeated pixels, zeros between pixels, channels as pixels."""
    for lanes, bits, folds in ((16, 4, 1), (4, 8, 24)):
        parameters: Parameters = {"PE": lanes, "CF0": folds, "CF1": folds, "B0": bits, "S0": 0}
        parameters |= {"B1": bits, "S1": 1, "OB": bits + 1}
        block = Block("qd_concat", parameters, (lanes * bits,) * 2, (lanes * (bits + 1),))
        yield Timed(f"qd_concat {lanes} of {bits} bits folds {folds}", block)
    parameters = {"L0": 16, "L1": 8, "B0": 4, "S0": 0, "B1": 4, "S1": 0, "OB": 4}
    yield Timed("qd_beside 24 of 4 bits", Block("qd_beside", parameters, (64, 32), (96,)))
    for bits, folds, columns in ((32, 1, 16), (16, 24, 64)):
        parameters = {"WIDTH": bits, "CF": folds, "W": columns, "KH": 2, "KW": 2}
        name = f"qd_upsample {bits} bits folds {folds} of {columns} columns"
        yield _stream(name, "qd_upsample", parameters, bits, bits)
        parameters = {"WIDTH": bits, "CF": folds, "W": columns, "B": 2}
        name = f"qd_depth_to_space {bits} bits folds {folds} of {columns} columns"
        yield _stream(name, "qd_depth_to_space", parameters, bits, bits)
        parameters = {"WIDTH": bits, "CF": folds, "H": columns, "W": columns, "SH": 2, "SW": 2}
        name = f"qd_dilate {bits} bits folds {folds} of {columns} columns"
        yield _stream(name, "qd_dilate", parameters, bits, bits)


def _streams() -> Iterator[Timed]:
    for bits, depth in ((64, 1), (128, 2), (32, 32), (32, 300), (8, 2048)):
        block = Block("qd_fifo", {"WIDTH": bits, "DEPTH": depth}, (bits,), (bits,), {"fill": 16})
        yield Timed(f"qd_fifo {bits} bits depth {depth}", block)
    for bits, more in ((64, 8), (8, 64), (288, 16), (2, 288), (32, 32)):
        parameters: Parameters = {"IN_WIDTH": bits, "OUT_WIDTH": more}
        yield _stream(f"qd_dwc {bits} to {more} bits", "qd_dwc", parameters, bits, more)
    yield from _enlarging()
    yield Timed("qd_fork 64 bits", Block("qd_fork", {"WIDTH": 64}, (64,), (64, 64)))
    parameters = {"PE": 16, "IB": 4, "SIGNED": 1, "OB": 8}
    yield _stream("qd_extend 16 of 4 to 8 bits", "qd_extend", parameters, 64, 128)
    block = Block("qd_tlast", {"WIDTH": 8, "BEATS": 4096}, (8,), (8,), {"m_tlast": 1})
    yield Timed("qd_tlast 4096 beats", block)

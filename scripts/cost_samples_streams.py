"""Blocks to measure that move and shape streams; see cost_samples.py."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from qdeploy.dataflow.rtl.unit import Block

Memories = dict[str, list[str]]


@dataclass(frozen=True)
class Sample:
    """A block with the contents of its memories."""

    block: Block
    memories: Memories = field(default_factory=dict)


def divisor(rng: random.Random, number: int, most: int) -> int:
    return rng.choice([d for d in range(1, min(number, most) + 1) if number % d == 0])


def stream(module: str, parameters: dict[str, int | str], bits_in: int, bits_out: int) -> Sample:
    return Sample(Block(module, parameters, (bits_in,), (bits_out,)))


def fork(rng: random.Random) -> Sample:
    bits = rng.choice([2, 16, 64])
    return Sample(Block("qd_fork", {"WIDTH": bits}, (bits,), (bits, bits)))


def extend(rng: random.Random) -> Sample:
    lanes, bits, more = rng.randint(1, 16), rng.randint(1, 8), rng.randint(1, 6)
    p: dict[str, int | str] = {"PE": lanes, "IB": bits, "SIGNED": 0, "OB": bits + more}
    return stream("qd_extend", p, lanes * bits, lanes * (bits + more))


def add(rng: random.Random) -> Sample:
    lanes, one, two = rng.choice([1, 2, 4, 8, 16, 32]), rng.randint(1, 9), rng.randint(1, 9)
    out = max(one, two) + rng.choice([1, 1, 2])
    p: dict[str, int | str] = {
        "PE": lanes,
        "B0": one,
        "S0": rng.randint(0, 1),
        "B1": two,
        "S1": rng.randint(0, 1),
        "OB": out,
    }
    return Sample(Block("qd_add", p, (lanes * one, lanes * two), (lanes * out,)))


def dwc(rng: random.Random) -> Sample:
    narrow, ratio = rng.choice([1, 2, 4, 6, 8, 16, 24, 48]), rng.choice([1, 2, 3, 4, 6, 9, 16, 32])
    widths = [narrow, narrow * min(ratio, max(1, 600 // narrow))]
    rng.shuffle(widths)
    p: dict[str, int | str] = {"IN_WIDTH": widths[0], "OUT_WIDTH": widths[1]}
    return stream("qd_dwc", p, *widths)


def fifo(rng: random.Random) -> Sample:
    bits = rng.choice([1, 2, 4, 8, 16, 24, 32, 48, 64, 128])
    depth = rng.choice([1, 2, 2, 2, 32, 32, 64, 64, 100, 128, 160, 256, 320, 512, 640, 1120])
    p: dict[str, int | str] = {"WIDTH": bits, "DEPTH": depth}
    return Sample(Block("qd_fifo", p, (bits,), (bits,), {"fill": 16}))


def pad(rng: random.Random) -> Sample:
    code, lanes, size = rng.choice([1, 2, 4, 8]), rng.choice([1, 2, 3, 4, 8, 16, 32]), 0
    size = rng.choice([4, 8, 16, 28, 32])
    bits = code * lanes
    p: dict[str, int | str] = {
        "WIDTH": bits,
        "CF": rng.choice([1, 2, 4, 8, 16]),
        "H": size,
        "W": size,
        "PT": rng.choice([0, 1]),
        "PL": 1,
        "PB": 1,
        "PR": rng.choice([1, 2]),
        "BITS": code,
        "VALUE": 0,
    }
    return stream("qd_pad", p, bits, bits)


def maxpool(rng: random.Random) -> Sample:
    lanes, code = rng.choice([1, 2, 4, 8, 16]), rng.choice([1, 2, 2, 3, 4, 6, 8])
    p: dict[str, int | str] = {
        "K": rng.choice([4, 4, 9]),
        "PE": lanes,
        "BITS": code,
        "SIGNED": rng.randint(0, 1),
    }
    return stream("qd_maxpool", p, lanes * code, lanes * code)


def global_sum(rng: random.Random) -> Sample:
    lanes, code, pixels = (
        rng.choice([1, 1, 2, 4, 8, 16]),
        rng.randint(1, 8),
        rng.choice([16, 49, 64]),
    )
    out = code + (pixels - 1).bit_length()
    p: dict[str, int | str] = {
        "PE": lanes,
        "BITS": code,
        "SIGNED": 0,
        "CF": rng.choice([1, 2, 8, 16, 32, 64, 160]),
        "PIXELS": pixels,
        "OB": out,
    }
    return stream("qd_global_sum", p, lanes * code, lanes * out)


def argmax(rng: random.Random) -> Sample:
    number = rng.choice([10, 10, 10, 12, 100])
    lanes, bits = divisor(rng, number, 10), rng.randint(8, 20)
    index = (number - 1).bit_length()
    p: dict[str, int | str] = {"N": number, "PE": lanes, "BITS": bits, "IDX": index}
    return stream("qd_argmax", p, lanes * bits, index)


def tlast(rng: random.Random) -> Sample:
    p: dict[str, int | str] = {"WIDTH": 8, "BEATS": rng.choice([1, 2, 5, 10, 100, 1000, 4096])}
    return Sample(Block("qd_tlast", p, (8,), (8,), {"m_tlast": 1}))


def window(rng: random.Random) -> Sample:
    code, lanes = rng.choice([1, 2, 2, 4, 8]), rng.choice([1, 2, 3, 4, 8, 16, 32])
    bits, kernel, stride = code * lanes, rng.choice([1, 2, 3, 3, 3, 5]), rng.choice([1, 1, 2])
    size = rng.choice([6, 8, 10, 18, 34])
    dilation = rng.choice([1, 1, 1, 2]) if size > 9 else 1
    p: dict[str, int | str] = {
        "WIDTH": bits,
        "H": size,
        "W": size,
        "KH": kernel,
        "KW": kernel,
        "SH": stride,
        "SW": stride,
        "DH": dilation,
        "DW": dilation,
        "CF": rng.choice([1, 1, 2, 4, 8, 16]),
        "DEPTHWISE": rng.choice([0, 0, 1]),
    }
    return stream("qd_window", p, bits, bits)


def window_parallel(rng: random.Random) -> Sample:
    bits, kernel = rng.choice([2, 3, 8, 24, 32, 64]), rng.choice([3, 3, 3, 5])
    size, stride = rng.choice([8, 18, 34]), rng.choice([1, 1, 2])
    p: dict[str, int | str] = {
        "WIDTH": bits,
        "H": size,
        "W": size,
        "KH": kernel,
        "KW": kernel,
        "SH": stride,
        "SW": stride,
        "DH": 1,
        "DW": 1,
    }
    return stream("qd_window_parallel", p, bits, bits * kernel * kernel)


def concat(rng: random.Random) -> Sample:
    lanes, one, two = rng.choice([1, 2, 4, 8, 16, 32]), rng.randint(1, 8), rng.randint(1, 8)
    out = max(one, two) + rng.choice([0, 0, 1])
    p: dict[str, int | str] = {
        "PE": lanes,
        "CF0": rng.choice([1, 1, 2, 4, 8, 16]),
        "CF1": rng.choice([1, 1, 2, 3, 8]),
        "B0": one,
        "S0": rng.randint(0, 1),
        "B1": two,
        "S1": rng.randint(0, 1),
        "OB": out,
    }
    return Sample(Block("qd_concat", p, (lanes * one, lanes * two), (lanes * out,)))


def beside(rng: random.Random) -> Sample:
    first, second = rng.choice([1, 3, 8, 16, 24]), rng.choice([1, 2, 8, 16])
    bits = rng.choice([1, 2, 4, 8])
    p: dict[str, int | str] = {"L0": first, "L1": second, "B0": bits, "S0": 0, "B1": bits}
    p |= {"S1": 0, "OB": bits}
    return Sample(Block("qd_beside", p, (first * bits, second * bits), ((first + second) * bits,)))


def upsample(rng: random.Random) -> Sample:
    bits = rng.choice([1, 2, 4, 8, 16, 32, 64, 128])
    p: dict[str, int | str] = {
        "WIDTH": bits,
        "CF": rng.choice([1, 1, 2, 4, 8, 16]),
        "W": rng.choice([4, 7, 8, 14, 16, 32, 64]),
        "KH": rng.choice([1, 2, 2, 2, 4]),
        "KW": rng.choice([2, 2, 4]),
    }
    return stream("qd_upsample", p, bits, bits)


def dilate(rng: random.Random) -> Sample:
    bits, size = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice([4, 7, 8, 16, 32])
    p: dict[str, int | str] = {"WIDTH": bits, "CF": rng.choice([1, 2, 4, 8, 16])}
    p |= {"H": size, "W": size, "SH": rng.choice([1, 2, 2, 4]), "SW": 2}
    return stream("qd_dilate", p, bits, bits)


def depth_to_space(rng: random.Random) -> Sample:
    bits = rng.choice([1, 2, 4, 8, 16, 32, 64])
    p: dict[str, int | str] = {
        "WIDTH": bits,
        "CF": rng.choice([1, 1, 2, 4, 8]),
        "W": rng.choice([4, 7, 8, 14, 16, 32]),
        "B": rng.choice([2, 2, 2, 3, 4]),
    }
    return stream("qd_depth_to_space", p, bits, bits)

"""Which network: random choices from everything the compiler supports, put together by a maker.

A network is one to three steps (a convolution, a residual block of some shape, a pool after it)
and a head, or fully connected layers with residual sums. What it holds stands in its `features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from qonnx_writer import Value, Weights
from random_qonnx import QonnxMaker

CHANNELS = (1, 2, 3, 4, 5, 6, 7, 8, 11, 13)


class Draw(Protocol):
    """Where choices come from: a random generator, or hypothesis."""

    def integer(self, low: int, high: int) -> int: ...

    def pick(self, *options: int) -> int: ...


@dataclass
class RandomDraw:
    """Choices from numpy's generator."""

    generator: np.random.Generator

    def integer(self, low: int, high: int) -> int:
        return int(self.generator.integers(low, high + 1))

    def pick(self, *options: int) -> int:
        return int(self.generator.choice(options))


def draw_network(draw: Draw, seed: int) -> QonnxMaker:
    """A network of any kind; the same for the same choices and seed."""
    flat = draw.integer(0, 7) == 0
    height, width = (1, draw.integer(4, 12)) if flat else (draw.integer(4, 9), draw.integer(4, 9))
    shape, bits = (draw.pick(1, 2, 3), height, width), draw.integer(1, 8)
    powers = bool(draw.integer(0, 1))
    maker = QonnxMaker(seed, shape, bits, powers, signed=bits > 1 and seed % 3 == 0)
    maker.features.add(f"input of {maker.bits} bits")
    if draw.integer(0, 6) == 0:
        return _dense_network(draw, maker)
    for _ in range(draw.integer(1, 3)):
        _step(draw, maker)
    _head(draw, maker)
    return maker


def _chance(draw: Draw, one_in: int) -> bool:
    return draw.integer(0, one_in - 1) == 0


def _weights(draw: Draw, *bits: int) -> Weights:
    chosen = draw.pick(*(bits or (1, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8)))
    return Weights(
        chosen,
        per_channel=_chance(draw, 3),
        narrow=not _chance(draw, 4),
        node=chosen == 1 and _chance(draw, 2),
        dead=_chance(draw, 8),
    )


def _norm(draw: Draw, maker: QonnxMaker) -> QonnxMaker:
    return maker.norm(node=not maker.powers and _chance(draw, 4), extreme=_chance(draw, 4))


def _activate(draw: Draw, maker: QonnxMaker) -> None:
    if not _chance(draw, 6):
        _norm(draw, maker)
    _quantize(draw, maker)


def _quantize(draw: Draw, maker: QonnxMaker) -> None:
    if _chance(draw, 4):
        maker.act(bits=draw.integer(2, 8), signed=True, narrow=_chance(draw, 2))
    else:
        maker.relu().act(bits=draw.pick(1, 1, 2, 2, 3, 4, 5, 6, 7, 8))


def _convolve(draw: Draw, maker: QonnxMaker, channels: int, *, shrink: bool) -> None:
    """A convolution; without `shrink` the map keeps its size."""
    sizes = maker.now.sizes
    kernel = tuple(draw.integer(1, min(3, size)) for size in sizes)
    dilation, pads, stride = [], [0, 0, 0, 0], []
    for axis, (size, taps) in enumerate(zip(sizes, kernel, strict=True)):
        widest = max((d for d in (1, 2, 3) if d * (taps - 1) < size), default=1)
        spread = draw.pick(1, draw.integer(1, widest)) if taps > 1 else 1
        dilation.append(spread)
        reach = spread * (taps - 1)
        if shrink:
            if size > 1:  # a 1xN map is not padded across: FINN takes its kernel as one-dimensional
                pads[axis], pads[axis + 2] = draw.integer(0, reach), draw.integer(0, reach)
            stride.append(draw.integer(1, 3))
        else:
            pads[axis], pads[axis + 2] = reach // 2, reach - reach // 2
            stride.append(1)
    now = maker.now.channels
    common = [g for g in range(2, now + 1) if now % g == 0 and channels % g == 0]
    groups = draw.pick(*common) if common and _chance(draw, 3) else 1
    maker.conv(
        channels,
        kernel,
        tuple(stride),
        tuple(pads),
        tuple(dilation),
        _weights(draw),
        groups,
        bias=_chance(draw, 4),
    )


def _pointwise(draw: Draw, maker: QonnxMaker, channels: int, *bits: int) -> QonnxMaker:
    return maker.conv(channels, (1, 1), pads=(0, 0, 0, 0), weights=_weights(draw, *bits))


def _step(draw: Draw, maker: QonnxMaker) -> None:
    if _chance(draw, 2 if len(maker.nodes) > 3 else 8):  # now and then the input forks
        blocks = (_residual, _residual, _inverted, _preactivated, _three_ways)
        blocks += (_concatenated, _u_shape, _enlarged)
        blocks[draw.integer(0, len(blocks) - 1)](draw, maker)
        return
    _convolve(draw, maker, draw.pick(*CHANNELS), shrink=True)
    _activate(draw, maker)
    if _chance(draw, 3):
        _pool(draw, maker)


def _pool(draw: Draw, maker: QonnxMaker) -> None:
    sizes = maker.now.sizes
    if min(sizes) < 2:
        return
    kernel = tuple(draw.integer(2, min(3, size)) for size in sizes)
    pads = [0, 0, 0, 0]
    if not maker.now.signed and _chance(draw, 2):
        pads = [draw.integer(0, kernel[axis % 2] - 1) for axis in range(4)]
    maker.max_pool(kernel, (draw.integer(1, 3), draw.integer(1, 3)), tuple(pads))


def _residual(draw: Draw, maker: QonnxMaker) -> None:
    """A basic block: identity or projection, both branches on one grid."""
    start, bits = maker.mark(), draw.pick(3, 4, 6, 8)
    project = _chance(draw, 3)
    if project:
        _shrinking(draw, maker, draw.pick(*CHANNELS), stride=draw.pick(1, 2))
    elif draw.integer(0, 1):
        _convolve(draw, maker, draw.pick(2, 3, 4), shrink=False)
        _activate(draw, maker)
    if not project:
        _convolve(draw, maker, start.channels, shrink=False)
    long = _norm(draw, maker).act(bits=bits, signed=True).mark()
    maker.back_to(start)
    if project:
        _shortcut(draw, maker, long)
        maker.features.add("projection")
    else:
        maker.features.add("identity shortcut")
    short = maker.act(bits=bits, signed=True, scale=long.scale).mark()
    if bits == 8:
        maker.features.add("shortcut of 8 bits")
    maker.back_to(long).join(short)
    _after_join(draw, maker)


def _shrinking(draw: Draw, maker: QonnxMaker, channels: int, stride: int) -> None:
    """A convolution of odd kernel with padding to match: the size is divided by the stride."""
    kernel = tuple(draw.pick(1, 3) if size > 1 else 1 for size in maker.now.sizes)
    around = tuple((taps - 1) // 2 for taps in kernel)
    maker.conv(channels, kernel, (stride, stride), (*around, *around), weights=_weights(draw))


def _shortcut(draw: Draw, maker: QonnxMaker, long: Value) -> None:
    """A convolution of kernel 1 to the long branch's shape."""
    stride = 1
    while any((n - 1) // stride + 1 > m for n, m in zip(maker.now.sizes, long.sizes, strict=True)):
        stride += 1
    maker.conv(long.channels, (1, 1), (stride, stride), (0, 0, 0, 0), weights=_weights(draw))
    maker.norm()


def _after_join(draw: Draw, maker: QonnxMaker) -> None:
    if _chance(draw, 3):
        maker.times(0.5).features.add("scaled join")
    _activate(draw, maker)


def _inverted(draw: Draw, maker: QonnxMaker) -> None:
    """Expansion, depthwise, linear bottleneck; the sum goes on without ReLU."""
    channels, bits = draw.pick(2, 3, 5), draw.pick(4, 6, 8)
    _pointwise(draw, maker, channels).norm().act(bits=bits, signed=True)
    start = maker.mark()
    _pointwise(draw, maker, channels * draw.integer(1, 3)).norm().relu().act(bits=draw.pick(2, 4))
    wide = maker.now.channels
    kernel = tuple(min(3, size) for size in maker.now.sizes)
    pads = tuple((taps - 1) // 2 for taps in kernel) + tuple(taps // 2 for taps in kernel)
    maker.conv(wide, kernel, pads=pads, weights=_weights(draw), groups=wide)
    maker.norm().relu().act(bits=draw.pick(2, 4))
    _pointwise(draw, maker, channels).norm().act(bits=bits, signed=True, scale=start.scale)
    maker.join(start).features.add("inverted residual")
    if draw.integer(0, 1):
        maker.act(bits=bits, signed=True, scale=start.scale)


def _preactivated(draw: Draw, maker: QonnxMaker) -> None:
    """Two blocks whose sums are read as they are by the next join: a chain of joins."""
    channels = maker.now.channels
    maker.act(bits=draw.pick(4, 8), signed=True)
    scale = maker.now.scale
    for _ in range(2):
        trunk = maker.mark()
        if _chance(draw, 2):
            maker.norm()
        maker.relu().act(bits=draw.integer(1, 3))
        _convolve(draw, maker, channels, shrink=False)
        maker.norm().act(bits=draw.pick(3, 6), signed=True, scale=scale).join(trunk)
    maker.features.add("chained joins")
    _activate(draw, maker)


def _three_ways(draw: Draw, maker: QonnxMaker) -> None:
    """A fork with three consumers, joined one after the other."""
    start, bits = maker.mark(), draw.pick(3, 5)
    _convolve(draw, maker, start.channels, shrink=False)
    first = maker.norm().act(bits=bits, signed=True).mark()
    _convolve(draw, maker.back_to(start), start.channels, shrink=False)
    second = maker.norm().act(bits=bits, signed=True, scale=first.scale).mark()
    short = maker.back_to(start).act(bits=bits, signed=True, scale=first.scale).mark()
    maker.back_to(first).join(second).join(short).features.add("fork to three")
    _after_join(draw, maker)


def _concatenated(draw: Draw, maker: QonnxMaker) -> None:
    """Two or three branches with one scale or their own, the input of all perhaps among them."""
    start, bits = maker.mark(), draw.pick(2, 4, 5)
    shared, parts = bool(draw.integer(0, 1)), []
    for _ in range(draw.integer(1, 2)):
        _convolve(draw, maker.back_to(start), draw.pick(1, 2, 3, 4, 6), shrink=False)
        _norm(draw, maker)
        scale = parts[0].scale if shared and parts else None
        parts.append(maker.act(bits=bits, signed=bool(draw.integer(0, 1)), scale=scale).mark())
    if len(parts) == 1 or draw.integer(0, 1):
        maker.back_to(start)
        parts.append(maker.act(bits=bits, scale=parts[0].scale).mark() if shared else start)
    maker.back_to(parts[0]).concat(*parts[1:])
    if not shared or draw.integer(0, 1):
        _quantize(draw, maker)


def _u_shape(draw: Draw, maker: QonnxMaker) -> None:
    """Down by a pool, up by repetition, and joined with the map before: as in a U-Net."""
    factor = tuple(2 if size % 2 == 0 else 1 for size in maker.now.sizes)
    start = maker.mark()
    maker.max_pool(factor, factor)
    _convolve(draw, maker, draw.pick(2, 3, 4), shrink=False)
    _activate(draw, maker)
    rule = [
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {},
        {"by": "sizes"},
    ][draw.integer(0, 2)]
    maker.upsample(factor, **rule).concat(start).features.add("skip past a smaller map")
    _quantize(draw, maker)


def _enlarged(draw: Draw, maker: QonnxMaker) -> None:
    """A larger map, where this one is small: by any of the layers that make one."""
    height, width = maker.now.sizes
    if height * width > 40:
        maker.max_pool((min(2, height), 2), (min(2, height), 2))
        height, width = maker.now.sizes
    kind = draw.integer(0, 2)
    if kind == 0 and height > 1:
        channels = draw.pick(1, 2, 3)
        _pointwise(draw, maker, 4 * channels)
        _activate(draw, maker)
        maker.depth_to_space(2, ("DCR", "CRD")[draw.integer(0, 1)])
    elif kind == 1:
        maker.upsample((draw.integer(1, 3) if height > 1 else 1, draw.integer(1, 3)))
    else:
        _deconvolve(draw, maker)
        _activate(draw, maker)


def _deconvolve(draw: Draw, maker: QonnxMaker) -> None:
    """A transposed convolution of any geometry that leaves something."""
    kernel, stride, dilation, pads, more = [], [], [], [0, 0, 0, 0], []
    for axis, size in enumerate(maker.now.sizes):
        if size == 1:  # a 1xN map stays one
            kernel.append(1), stride.append(1), dilation.append(1), more.append(0)
            continue
        kernel.append(draw.integer(1, 4))
        stride.append(draw.integer(1, 3))
        dilation.append(draw.pick(1, 1, 2))
        # From the stride on, a dilated kernel's last rows are wrong in onnxruntime.
        more.append(draw.integer(0, stride[axis] - 1))
        reach = dilation[axis] * (kernel[axis] - 1)
        pads[axis], pads[axis + 2] = draw.integer(0, min(reach, 2)), draw.integer(0, min(reach, 2))
    now, channels = maker.now.channels, draw.pick(1, 2, 3, 4, 6)
    common = [g for g in range(2, now + 1) if now % g == 0 and channels % g == 0]
    groups = draw.pick(*common) if common and _chance(draw, 3) else 1
    maker.conv_transpose(
        channels,
        tuple(kernel),
        tuple(stride),
        tuple(pads),
        tuple(dilation),
        tuple(more),
        _weights(draw),
        groups,
        bias=_chance(draw, 4),
    )


def _head(draw: Draw, maker: QonnxMaker) -> None:
    kind = draw.integer(0, 6)
    bits = draw.pick(2, 4, 8)
    if kind == 0:
        maker.features.add("ends in codes")
    elif kind == 1:
        maker.conv(draw.integer(2, 7), (1, 1), pads=(0, 0, 0, 0), weights=Weights(bits))
        maker.features.add("logits per pixel")
    elif kind == 2:
        _pointwise(draw, maker, draw.integer(2, 7)).act(bits=bits, signed=True).pool_all()
        maker.features.add("averages as logits")
    else:
        maker.pool_all() if kind < 5 else maker.flatten()
        maker.dense(draw.integer(2, 7), Weights(bits), gemm=_chance(draw, 3))
    if kind and _chance(draw, 3):
        maker.features.add("argmax")


def _dense_network(draw: Draw, maker: QonnxMaker) -> QonnxMaker:
    """Fully connected layers, some with a residual sum times one half, and a head."""
    width = draw.pick(3, 5, 7, 11, 13)
    maker.flatten().dense(width, _weights(draw), gemm=_chance(draw, 3))
    _activate(draw, maker)
    for _ in range(draw.integer(0, 2)):
        start, bits = maker.mark(), draw.pick(3, 5, 8)
        maker.dense(width, _weights(draw), gemm=_chance(draw, 3))
        long = _norm(draw, maker).act(bits=bits, signed=True).mark()
        short = maker.back_to(start).act(bits=bits, signed=True, scale=long.scale).mark()
        maker.back_to(long).join(short).times(0.5)
        maker.features |= {"residual of fully connected layers", "scaled join"}
        _quantize(draw, maker)  # a negative gain here is for feature maps only
    return maker.dense(draw.integer(2, 9), Weights(draw.pick(2, 4, 8)), gemm=_chance(draw, 2))

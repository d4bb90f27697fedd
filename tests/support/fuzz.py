"""Random networks from QONNX to RTL: how one is drawn, and how it is checked at every level."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from random_qonnx import QonnxMaker

from qdeploy.boards import load_board
from qdeploy.dataflow.compile import compile_graph
from qdeploy.dataflow.execute import DataflowExecutor
from qdeploy.lowering.compare import differences, qonnx_codes
from qdeploy.lowering.emit_onnx import emit_onnx
from qdeploy.lowering.lower import lower_with_affine
from qdeploy.lowering.reference import run_reference
from qdeploy.lowering.simulator import IntSimulator
from qdeploy.sim.design import simulate_design
from qdeploy.verify.compare import compare

# A float level may only part from the integers this near to the edge between two codes.
ROUNDING_LSB = 1e-3


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
    """A network of two to four convolutional steps and perhaps a head."""
    flat = draw.integer(0, 7) == 0
    height, width = (1, draw.integer(4, 12)) if flat else (draw.integer(4, 9), draw.integer(4, 9))
    maker = QonnxMaker(
        seed,
        (draw.pick(1, 2, 3), height, width),
        bits=draw.integer(1, 8),
        powers=bool(draw.integer(0, 1)),
    )
    for _ in range(draw.integer(1, 3)):
        _step(draw, maker)
    if draw.integer(0, 2):
        maker.pool_all() if draw.integer(0, 1) else maker.flatten()
        maker.dense(draw.integer(1, 7), weight_bits=draw.pick(2, 4, 8))
    return maker


def _activate(draw: Draw, maker: QonnxMaker) -> None:
    maker.norm()
    if draw.integer(0, 3):
        maker.relu().act(bits=draw.integer(1, 5))
    else:
        maker.act(bits=draw.integer(2, 5), signed=True)


def _convolve(draw: Draw, maker: QonnxMaker, channels: int, *, shrink: bool) -> None:
    sizes = maker.now.data.shape[2:]
    kernel = tuple(draw.integer(1, min(3, size)) for size in sizes)
    dilation, pads, stride = [], [0, 0, 0, 0], []
    for axis, (size, taps) in enumerate(zip(sizes, kernel, strict=True)):
        spread = draw.integer(1, 2) if taps > 1 and 2 * (taps - 1) < size else 1
        dilation.append(spread)
        reach = spread * (taps - 1)
        if shrink:
            if size > 1:  # a 1xN map is not padded across: FINN takes its kernel as one-dimensional
                pads[axis], pads[axis + 2] = draw.integer(0, reach), draw.integer(0, reach)
            stride.append(draw.integer(1, 3))
        else:
            pads[axis], pads[axis + 2] = reach // 2, reach - reach // 2
            stride.append(1)
    maker.conv(
        channels,
        kernel,
        tuple(stride),
        tuple(pads),
        tuple(dilation),
        weight_bits=draw.integer(2, 5),
        depthwise=channels == maker.now.data.shape[1] and channels > 1 and not draw.integer(0, 2),
    )


def _step(draw: Draw, maker: QonnxMaker) -> None:
    if draw.integer(0, 2) == 0 and len(maker.nodes) > 3:
        return _residual(draw, maker)
    _convolve(draw, maker, draw.pick(1, 2, 3, 5, 7, 8), shrink=True)
    _activate(draw, maker)
    if min(maker.now.data.shape[2:]) >= 2 and draw.integer(0, 2) == 0:
        size = draw.integer(2, min(3, *maker.now.data.shape[2:]))
        maker.max_pool((size, size), (draw.integer(1, 2), draw.integer(1, 2)))
    return None


def _residual(draw: Draw, maker: QonnxMaker) -> None:
    """Fork, one or two convolutions on the long branch, both branches on one grid, join."""
    start, bits = maker.mark(), draw.integer(3, 6)
    channels = start.data.shape[1]
    if draw.integer(0, 1):
        _convolve(draw, maker, draw.pick(2, 3, 4), shrink=False)
        _activate(draw, maker)
    _convolve(draw, maker, channels, shrink=False)
    long = maker.norm().act(bits=bits, signed=True).mark()
    short = maker.back_to(start).act(bits=bits, signed=True, scale=long.scale).mark()
    maker.back_to(long).join(short).relu().act(bits=draw.integer(1, 4))


@dataclass(frozen=True)
class Outcome:
    """What a network's check found: codes compared with RTL, and its size."""

    boundaries: int
    codes: int
    cycles_per_frame: int


def check(
    path: Path, work: Path, models: Path, *, frames: int = 4, seed: int = 0, fps: float = 2e4
) -> Outcome:
    """Compare every level of a QONNX file with the exact integers, at every boundary.

    Args:
        work: folder for the design; `models`: folder of Verilator models, shared between checks.

    Raises:
        AssertionError: two levels differ where they must not.
    """
    lowered = lower_with_affine(path)
    graph = lowered.graph
    source = graph.tensors[graph.input]
    random = np.random.default_rng(seed)
    codes = random.integers(source.dtype.lo, source.dtype.hi + 1, (frames, *source.shape))
    codes[0], codes[-1] = source.dtype.hi, source.dtype.lo
    exact, names = run_reference(graph, codes), graph.boundaries()
    for difference in differences(lowered, codes, qonnx_codes(path, graph, codes), exact):
        near = difference.distance is not None and difference.distance < ROUNDING_LSB
        assert difference.inherited or near, difference
    emit_onnx(graph, work / "int.onnx", taps=True)
    for level in ("disable", "all"):
        found = IntSimulator(work / "int.onnx", level=level).run(codes)
        assert compare(names, exact, found).first is None, (level, compare(names, exact, found))
    compiled = compile_graph(graph, load_board("pynq-z2"), work / "rtl", fps=fps)
    dataflow = compare(names, exact, DataflowExecutor(compiled.hardware, graph).run(codes))
    assert dataflow.first is None, dataflow.first
    simulator = simulate_design(work / "rtl", compiled.design, models, optimize="-O0")
    for stall in (0.0, 0.4):
        run = simulator.run(codes, stall_in=stall, stall_out=stall, seed=seed)
        rtl = compare(names, exact, run.taps | {graph.output: run.outputs})
        assert rtl.first is None, rtl.first
    return Outcome(len(names), rtl.codes, run.cycles_per_frame)

"""How deep the FIFOs between layers have to be.

A join of two branches deadlocks when the shorter one cannot hold what its fork sends ahead while
the longer one still fills its windows. How far a branch lags is known before simulation: a window
puts out its first pixel after `(span - 1) rows + span pixels` of its input, where span is the
dilated kernel. Lags are counted in frames, so they add up across strides:

    lag(output) = lag(input) + ((span_h - 1)·W + span_w) / (H·W)

At a join, the branch that is ahead gets a FIFO for the difference. Windows and units also run ahead
by what they buffer themselves, which is allowed for by one more row for each window in the longer
branch.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Deep enough to ride out a neighbour's pause at the end of a row; 32 words are one LUT a bit.
SHALLOW = 32


@dataclass(frozen=True)
class _Lag:
    """How far a stream is behind the design's input, in frames, and rows that may be buffered."""

    needed: Fraction = Fraction(0)
    buffered: Fraction = Fraction(0)

    @property
    def total(self) -> Fraction:
        return self.needed + self.buffered


def set_fifo_depths(model: ModelWrapper) -> None:
    """Set FINN's `inFIFODepths` and `outFIFODepths` of every layer, in place.

    Args:
        model: specialized, folded layers with their width converters.
    """
    from qonnx.custom_op.registry import getCustomOp

    constants = {item.name for item in model.graph.initializer}
    lags: dict[str, _Lag] = {model.graph.input[0].name: _Lag()}
    for node in model.graph.node:
        inst = getCustomOp(node)
        streams = [name for name in node.input if name not in constants]
        arriving = [lags[name] for name in streams]
        latest = max(arriving, key=lambda lag: lag.total)
        if len(streams) > 1:
            depths = [_depth(inst, index, latest, lag) for index, lag in enumerate(arriving)]
            inst.set_nodeattr("inFIFODepths", depths)
        if node.op_type.startswith("ConvolutionInputGenerator"):
            latest = _behind_window(inst, latest)
        for name in node.output:
            lags[name] = latest
        if node.op_type.startswith(("MVAU", "VVAU", "Pool")) and model.find_consumers(
            node.output[0]
        ):
            inst.set_nodeattr("outFIFODepths", [SHALLOW])
    first = model.find_consumer(model.graph.input[0].name)
    getCustomOp(first).set_nodeattr("inFIFODepths", [SHALLOW])


def _behind_window(inst: Any, lag: _Lag) -> _Lag:
    height, width = (int(size) for size in inst.get_nodeattr("IFMDim"))
    kernel = [int(size) for size in inst.get_nodeattr("ConvKernelDim")]
    dilation = [int(size) for size in inst.get_nodeattr("Dilation")]
    tall, wide = (d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    frame = height * width
    return _Lag(
        lag.needed + Fraction((tall - 1) * width + wide, frame),
        lag.buffered + Fraction(width * tall, frame),
    )


def _depth(inst: Any, index: int, latest: _Lag, own: _Lag) -> int:
    """Words for what this branch sends while the latest one is still behind."""
    beats = prod(int(size) for size in inst.get_folded_input_shape(index)[:-1])
    return SHALLOW + ceil((latest.total - own.total) * beats)

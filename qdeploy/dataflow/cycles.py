"""Cycles a frame of a hardware layer, and the multiplications it does in them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from qdeploy.dataflow.fold_options import keeps_next, parallel_cycles
from qdeploy.lowering.integer_graph import Conv, Dense, IntegerGraph, Node

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

# Operators that multiply by weights.
UNITS = ("MVAU", "VVAU")
_BETWEEN = ("StreamingFIFO", "StreamingDataWidthConverter")


def frame_cycles(model: ModelWrapper, node: NodeProto) -> int:
    """Cycles a frame takes in a layer at steady state.

    A window that is put out whole in one beat holds one only, so the unit behind it also waits for
    pixels: at the end of a row, and of a frame (`parallel_cycles`).
    """
    from qonnx.custom_op.registry import getCustomOp

    inst = getCustomOp(node)
    cycles = int(inst.get_exp_cycles())
    window = _window_before(model, node) if node.op_type.startswith(UNITS) else None
    return cycles if window is None else max(cycles, windowed_cycles(window, inst, cycles))


def windowed_cycles(window: Any, unit: Any, cycles: int) -> int:
    """Cycles a frame of a unit that takes `cycles`, behind a parallel window."""
    kernel, strides, dilation, shape, out = (
        tuple(int(value) for value in window.get_nodeattr(key))
        for key in ("ConvKernelDim", "Stride", "Dilation", "IFMDim", "OFMDim")
    )
    spans = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    steps = (strides[0], strides[1])
    interval, ahead = cycles // prod(out), keeps_next(unit)
    return parallel_cycles((shape[0], shape[1]), spans, steps, interval, ahead=ahead)


def _window_before(model: ModelWrapper, node: NodeProto) -> Any:
    """The parallel window that feeds a layer, None where there is none."""
    from qonnx.custom_op.registry import getCustomOp

    source = model.find_producer(node.input[0])
    while source is not None and source.op_type.startswith(_BETWEEN):
        source = model.find_producer(source.input[0])
    if source is None or not source.op_type.startswith("ConvolutionInputGenerator"):
        return None
    window = getCustomOp(source)
    return window if window.use_parallel_window_output() else None


def macs_of(owner: Node, graph: IntegerGraph) -> int:
    """Multiplications a frame of the integer graph's node; 0 where it has no weights.

    A group's zeros are none of them: `weights` holds each group's own.
    """
    if not isinstance(owner, Conv | Dense):
        return 0
    shape = graph.tensors[owner.output].shape
    return int(owner.weights.size) * prod(shape[1:])

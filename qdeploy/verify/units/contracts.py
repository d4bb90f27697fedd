"""What a hardware layer does to the elements of its streams, in numpy.

A layer works in steps that do not depend on each other: a vector for what computes, a frame for
what moves a map. A contract says how many elements of each input a step takes, how many of each
output it gives, and which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qdeploy.design.manifest import Design
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.ir.layout import stream_shape, to_graph_order, to_stream_order
from qdeploy.ir.reference import count_thresholds, evaluate
from qdeploy.verify.units.parameters import UnitKind, UnitParameters

Steps = list[IntArray]


@dataclass(frozen=True)
class Contract:
    """A layer as a function of steps.

    Args:
        takes, gives: elements per step of each input and output, in port order.
        steps: per frame.
        apply: arrays (steps, elements) of the inputs to those of the outputs.
    """

    takes: tuple[int, ...]
    gives: tuple[int, ...]
    steps: int
    apply: Callable[[Steps], Steps]


def contract(design: Design, unit: UnitParameters) -> Contract:
    """The contract of one layer.

    Raises:
        PassError: what a step takes and gives are not the elements that the manifest lists.
        UserError: the design was stitched before its streams were recorded.
    """
    ports = design.ports_of(unit.layer.module)
    ins = [one for port, one in ports.items() if port.startswith("in")]
    outs = [one for port, one in ports.items() if port.startswith("out")]
    made = _contract(unit, ins[0].elements, ins[0].per_beat, len(outs))
    given = ([one.elements for one in ins], [one.elements for one in outs])
    wanted = ([n * made.steps for n in made.takes], [n * made.steps for n in made.gives])
    if given != wanted:
        raise PassError(f"layer `{unit.layer.name}` carries {given} elements, not {wanted}")
    return made


def _contract(unit: UnitParameters, elements: int, lanes: int, outputs: int) -> Contract:
    channels, steps = unit.channels, unit.vectors
    match unit.kind:
        case UnitKind.COPY:
            return Contract((elements,), (elements,) * outputs, 1, lambda x: [x[0]] * outputs)
        case UnitKind.MATRIX if unit.matrix is not None:
            matrix = unit.matrix
            return Contract(
                (matrix.shape[1],),
                (channels,),
                steps,
                lambda x: [codes(unit, x[0] @ matrix.T)],
            )
        case UnitKind.DEPTHWISE if unit.kernel is not None:
            kernel = unit.kernel
            return Contract(
                (kernel.size,),
                (channels,),
                steps,
                lambda x: [codes(unit, (by_channel(x[0], channels, lanes) * kernel).sum(axis=2))],
            )
        case UnitKind.THRESHOLDS:
            return Contract((channels,), (channels,), steps, lambda x: [codes(unit, x[0])])
        case UnitKind.BIAS if unit.bias is not None:
            bias = unit.bias
            return Contract((channels,), (channels,), steps, lambda x: [codes(unit, x[0] + bias)])
        case UnitKind.ADDITION:
            return Contract(
                (channels, channels), (channels,), steps, lambda x: [codes(unit, x[0] + x[1])]
            )
        case UnitKind.PADDING | UnitKind.WINDOW:
            return _mover(unit, lanes)
        case UnitKind.MAX_POOL:
            return Contract(
                (channels * unit.positions,),
                (channels,),
                steps,
                lambda x: [by_channel(x[0], channels, lanes).max(axis=2)],
            )
        case UnitKind.GLOBAL_SUM:
            return Contract(
                (channels * unit.positions,),
                (channels,),
                steps,
                lambda x: [codes(unit, x[0].reshape(len(x[0]), -1, channels).sum(axis=1))],
            )
        case UnitKind.CONCAT:
            takes = tuple(one.shape[0] for one in unit.inputs)
            return Contract(takes, (channels,), steps, lambda x: [np.concatenate(x, axis=1)])
        case UnitKind.ENLARGE:
            return _enlargement(unit)
        case UnitKind.ARGMAX:
            # The first of several largest ones, as numpy has it.
            return Contract(
                (unit.positions,), (1,), steps, lambda x: [x[0].argmax(axis=1, keepdims=True)]
            )
    raise PassError(f"layer `{unit.layer.name}` lacks what a {unit.kind.value} unit has")


def codes(unit: UnitParameters, sums: IntArray) -> IntArray:
    """Codes of sums (steps, channels), or the sums where the unit has no thresholds."""
    if unit.thresholds is None:
        return sums
    return count_thresholds(sums, unit.thresholds, unit.base)


def by_channel(stream: IntArray, channels: int, lanes: int) -> IntArray:
    """(steps, channels, positions) of a stream that has, for `lanes` channels at a time, position
    by position."""
    parts = stream.reshape(len(stream), channels // lanes, -1, lanes)
    return parts.transpose(0, 1, 3, 2).reshape(len(stream), channels, -1)


def as_stream(values: IntArray, lanes: int) -> IntArray:
    """The inverse of `by_channel`: (steps, elements) of values (steps, channels, positions)."""
    steps, channels, positions = values.shape
    parts = values.reshape(steps, channels // lanes, lanes, positions)
    return parts.transpose(0, 1, 3, 2).reshape(steps, -1)


def _enlargement(unit: UnitParameters) -> Contract:
    """What makes more pixels of a map: a step is a frame."""
    node, source = unit.nodes[0], unit.inputs[0]
    assert unit.output is not None
    shape = stream_shape(source)

    def enlarged(x: Steps) -> Steps:
        maps = to_graph_order(x[0].reshape(-1, *shape), frames=True)
        return [to_stream_order(evaluate(node, maps), frames=True).reshape(len(maps), -1)]

    return Contract((source.size,), (unit.output.size,), 1, enlarged)


def _mover(unit: UnitParameters, lanes: int) -> Contract:
    """A padding or a window: a step is a frame."""
    border, shape = unit.padding, unit.window
    if border is not None:
        rows, columns, channels = border.rows, border.columns, border.channels
        sides = ((0, 0), (border.top, border.bottom), (border.left, border.right), (0, 0))

        def pad(x: Steps) -> Steps:
            map_ = x[0].reshape(-1, rows, columns, channels)
            return [np.pad(map_, sides, constant_values=border.code).reshape(len(x[0]), -1)]

        size = border.padded[0] * border.padded[1] * channels
        return Contract((rows * columns * channels,), (size,), 1, pad)
    assert shape is not None
    height, width = (np.array(shape.positions(axis)) for axis in (0, 1))

    def windows(x: Steps) -> Steps:
        map_ = x[0].reshape(-1, shape.rows, shape.columns, shape.channels)
        # (frames, window row, tap row, window column, tap column, channels)
        taken = map_[:, height][:, :, :, width].transpose(0, 1, 3, 2, 4, 5)
        if not shape.by_channel:
            return [taken.reshape(len(map_), -1)]
        count = taken.shape[1] * taken.shape[2]
        flat = taken.reshape(len(map_) * count, -1, shape.channels).transpose(0, 2, 1)
        return [as_stream(flat, lanes).reshape(len(map_), -1)]

    size = height.size * width.size * shape.channels
    return Contract((shape.rows * shape.columns * shape.channels,), (size,), 1, windows)

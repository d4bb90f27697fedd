"""Which inputs of a window can be something else than padding.

A window at the edge of a map has padding at some of its positions, which is 0 in every frame. Where
no window is free of it, a vector with other codes there could sum up to more than any frame does,
and more than a unit's widths are made for.
"""

from __future__ import annotations

import numpy as np

from qdeploy.design.manifest import Design
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.verify.units.parameters import UnitKind, UnitParameters, unit_parameters
from qdeploy.verify.units.shapes import PaddingShape, WindowShape


def input_masks(design: Design, graph: IntegerGraph, unit: UnitParameters) -> IntArray:
    """(masks, positions, channels) of 0 and 1: for a matrix or depthwise unit, the inputs of a
    window that are no padding, for the windows that have the most of them; for all where 0, which
    padding is, is no code of the input.

    Positions are (ky, kx), channels those of a column of the map: M pixels' where the unit takes M
    pixels per beat. One mask of ones where there is no padding, or a window without it.
    """
    served = [
        unit_parameters(design, graph, layer)
        for layer in design.layers
        if layer.nodes[:1] == unit.layer.nodes[:1]
    ]
    borders = [one.padding for one in served if one.kind is UnitKind.PADDING]
    shapes = [one.window for one in served if one.kind is UnitKind.WINDOW]
    if not borders or not shapes or borders[0] is None or shapes[0] is None:
        # Without windows a vector is one pixel, and some pixel of the map is no padding.
        return np.ones((1, 1, 1), dtype=np.int64)
    every = not unit.inputs[0].lo <= 0 <= unit.inputs[0].hi
    rows, columns = (_inside(borders[0], shapes[0], axis, every=every) for axis in (0, 1))
    masks = [np.outer(row, column).reshape(-1) for row in rows for column in columns]
    found = np.array(masks, dtype=np.int64)[:, :, None]
    return np.repeat(found, shapes[0].channels, axis=2)


def _inside(border: PaddingShape, window: WindowShape, axis: int, *, every: bool) -> list[IntArray]:
    """For windows along one axis, which of their taps are inside the map, each kind once; of the
    windows that no other one includes, unless it is to be `every` one."""
    first = (border.top, border.left)[axis]
    taps = np.array(window.positions(axis)) - first
    inside = (taps >= 0) & (taps < (border.rows, border.columns)[axis])
    kinds = np.unique(inside, axis=0)
    return [
        one.astype(np.int64)
        for one in kinds
        if every or not any((other >= one).all() and (other > one).any() for other in kinds)
    ]

"""Which inputs of a window can be something else than padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from random_graphs import GraphMaker

from qdeploy.dataflow.compile import compile_graph
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.units.masks import input_masks
from qdeploy.verify.units.parameters import UnitKind, unit_parameters


def masks_of_the_convolution(maker: GraphMaker, folder: Path) -> IntArray:
    graph = maker.threshold().global_sum().dense(3).graph()
    compile_graph(graph, load_board("pynq-z2"), folder, fps=1_000.0)
    design = Design.load(folder)
    units = [unit_parameters(design, graph, layer) for layer in design.layers]
    unit = next(one for one in units if one.kind is UnitKind.MATRIX)
    return input_masks(design, graph, unit)


def test_a_window_inside_the_map_is_free(tmp_path: Path) -> None:
    masks = masks_of_the_convolution(GraphMaker(1, (2, 6, 6)).conv(4, (3, 3)), tmp_path)
    assert np.array_equal(masks, np.ones((1, 9, 2)))


def test_of_windows_with_padding_those_with_the_most_inputs_remain(tmp_path: Path) -> None:
    # Two rows under windows of three: the upper and the lower row of windows both lack one.
    maker = GraphMaker(1, (2, 2, 6)).conv(4, (3, 3))
    masks = masks_of_the_convolution(maker, tmp_path)
    assert masks.shape == (2, 9, 2)
    assert sorted(mask[:, 0].tolist() for mask in masks) == [
        [0, 0, 0, 1, 1, 1, 1, 1, 1],
        [1, 1, 1, 1, 1, 1, 0, 0, 0],
    ]
    assert np.array_equal(masks[:, :, 0], masks[:, :, 1])

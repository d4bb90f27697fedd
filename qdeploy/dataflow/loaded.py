"""Memories of a loadable design for other weights: the same hardware layers, other numbers in them.

requires   the folded hardware layers of the design, and a graph of its shape with other numbers
           (`ir.same_shape`)
transform  parameters of each layer become those that the other graph's layers have, at the
           pixels per beat of the design
ensures    the wrappers are, text for text, those of the design: only memories differ
"""

from __future__ import annotations

from pathlib import Path

from qdeploy.bounded import read_bounded
from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.finn.fit_requantization import refit_requantization
from qdeploy.dataflow.finn.loadable import take_numbers
from qdeploy.dataflow.finn.models import read_model
from qdeploy.dataflow.finn.nodes import hw_nodes
from qdeploy.dataflow.finn.specialize import specialize
from qdeploy.dataflow.folding.pixels import with_multi_pixel
from qdeploy.design.loading import image_of
from qdeploy.design.manifest import PIXELS, Design
from qdeploy.errors import InternalError, UserError
from qdeploy.ir.integer_graph import IntegerGraph

_MOST_TEXT = 1 << 28


def weights_image(graph: IntegerGraph, hardware: Path, design: Design, rtl: Path) -> bytes:
    """The image of a graph's numbers for the configuration stream of a design.

    Args:
        graph: the design's, with other numbers.
        hardware: file of the design's folded hardware layers.
        rtl: folder of the design.

    Raises:
        UserError: the design takes no weights at run time; a layer multiplies bits and the
            weights are not all -1 and +1; a layer's multipliers are too narrow.
        InternalError: other numbers would be other hardware.
    """
    if design.loading is None:
        raise UserError(
            f"the design `{design.name}` takes no weights at run time",
            why="its weights are part of its logic",
            do="export it with --runtime-weights",
        )
    model = specialize(read_model(hardware))
    pixels = {layer.name: layer.integer(PIXELS) for layer in hw_nodes(model)}
    other = with_multi_pixel(hardware_layers(graph, loadable=True), pixels)
    model = refit_requantization(take_numbers(model, other), graph)
    layers = {layer.name: layer for layer in hw_nodes(model)}
    words: dict[str, list[str]] = {}
    for module in design.loading.modules:
        unit = layers[module].instance.unit(model)
        if unit.verilog(module) != read_bounded(rtl / f"{module}.v", _MOST_TEXT):
            raise InternalError(f"`{module}` would be other hardware with other numbers")
        words |= unit.memories()
    return image_of(design.loading.loads, words)

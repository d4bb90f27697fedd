"""Networks that were traced: `qdeploy.train` puts their operations into the recipe of a run."""

from __future__ import annotations

from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.networks.sections import TracedSection
from qdeploy.quant.layers import LayerFactory
from qdeploy.tracing.assemble import Assembly
from qdeploy.tracing.grids import plan_grids
from qdeploy.tracing.record import graph_of


def build(
    section: TracedSection,
    make: LayerFactory,
    input_shape: tuple[int, int, int],
    classes: int,
) -> nn.Module:
    """The network with fresh weights.

    Raises:
        RecipeError: the operations are not those of a traced network, or one for other data.
    """
    graph = graph_of(section.operations, section.output, section.title)
    last = next(one for one in graph.operations if one.name == graph.output)
    if graph.input_shape != tuple(input_shape) or last.shape[0] != classes:
        raise RecipeError(
            f"the network takes frames of {graph.input_shape} and gives {last.shape[0]} values, "
            f"the data have frames of {tuple(input_shape)} in {classes} classes",
            where="network.operations",
            do="give a module with one output per class to `qdeploy.train`, with its data set",
        )
    return Assembly(graph, plan_grids(graph, signed_input=make.signed_input), make, None).network()

"""A traced network as plain data is the same network."""

import json

import pytest
import torch
from float_networks import NETWORKS, float_network
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.quant.layers import LayerFactory
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.assemble import Assembly
from qdeploy.tracing.grids import plan_grids
from qdeploy.tracing.operations import FloatGraph
from qdeploy.tracing.read import read_float
from qdeploy.tracing.record import graph_of, record_of
from qdeploy.tracing.reorder import relu_before_pool


def assembled(graph: FloatGraph) -> nn.Module:
    make = LayerFactory(Quantization(), quantized=False)
    return Assembly(graph, plan_grids(graph, signed_input=False), make, None).network().eval()


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_from_its_record_computes_the_same(kind: str) -> None:
    module, frames = float_network(kind)
    graph = relu_before_pool(read_float(module, frames))
    record = json.loads(json.dumps(record_of(graph)))
    again = graph_of(record, graph.output, graph.kind)
    network = assembled(again)
    network.load_state_dict(assembled(graph).state_dict())
    with torch.no_grad():
        assert torch.allclose(network(frames), module(frames), atol=1e-6)
    assert record_of(again) == record_of(graph)


@pytest.mark.parametrize(
    "damage",
    [
        lambda one: one[1].update(inputs=["nothing"]),
        lambda one: one[1].update(name="input"),
        lambda one: one[1]["layer"].update({"class": "Module"}),
        lambda one: one[1]["layer"].update(out_channels=1 << 40),
        lambda one: one[1]["layer"].update(device="meta"),
        lambda one: one[1].update(kind="anything"),
        lambda one: one.pop(0),
        lambda one: one[1].pop("shape"),
    ],
)
def test_a_record_that_is_none_is_refused(damage: object) -> None:
    module, frames = float_network("resnet")
    record = record_of(read_float(module, frames))
    damage(record)  # type: ignore[operator]
    with pytest.raises(RecipeError, match="not those of a traced one"):
        graph_of(record, "fc", "Resnet")

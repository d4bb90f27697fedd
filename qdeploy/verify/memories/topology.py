"""Which tensor each stream of a design carries, followed from the input through the layers.

The manifest says which nodes a layer computes and which ports its streams join. Followed from the
input, they have to be the network: each layer reads the tensors of its first node and gives that of
its last, each node is computed once, and a frame has as many elements on a stream as the tensor, or
its padded form or its windows, has.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from qdeploy.design.manifest import Connection, Design, Layer
from qdeploy.ir.integer_graph import Flatten, IntegerGraph, IntType, Tensor
from qdeploy.verify.memories.ledger import Place, UnreadableError
from qdeploy.verify.units.parameters import MOVING, UnitKind, UnitParameters

_MOVERS = (UnitKind.COPY, UnitKind.PADDING, UnitKind.WINDOW)


@dataclass(frozen=True)
class Topology:
    """Streams with what they carry.

    Args:
        carried: by number: the tensor that a stream's elements come from.
        lanes: by number: of a stream that comes from a window channel by channel, the elements of
            one beat of that window.
    """

    carried: dict[int, Tensor]
    lanes: dict[int, int]


def follow(design: Design, graph: IntegerGraph, units: dict[str, UnitParameters]) -> Topology:
    """What every stream carries.

    Args:
        units: of the layers, by module.

    Raises:
        UnreadableError: a stream's source is not known, as in a circle of layers.
    """
    layers = {layer.module: layer for layer in design.layers}
    carried: dict[int, Tensor] = {}
    lanes: dict[int, int] = {}
    waiting = list(design.connections())
    while waiting:
        left = []
        for stream in waiting:
            source = layers.get(stream.source.module)
            if source is None:
                carried[stream.number] = graph.tensors[graph.input]
            elif not _through(design, units[source.module], stream, carried, lanes):
                left.append(stream)
        if len(left) == len(waiting):
            raise UnreadableError("its streams go round in a circle")
        waiting = left
    return Topology(carried, lanes)


def _through(
    design: Design,
    unit: UnitParameters,
    stream: Connection,
    carried: dict[int, Tensor],
    lanes: dict[int, int],
) -> bool:
    """Note what a layer's output carries; False where what it reads is not known yet."""
    inputs = inputs_of(design, unit.layer)
    if any(one.number not in carried for one in inputs):
        return False
    if unit.kind not in _MOVERS:
        assert unit.output is not None
        carried[stream.number] = unit.output
        return True
    carried[stream.number] = carried[inputs[0].number]
    if unit.window is not None:
        lanes[stream.number] = min(stream.per_beat, unit.window.channels)
    elif inputs[0].number in lanes:
        lanes[stream.number] = lanes[inputs[0].number]
    return True


def inputs_of(design: Design, layer: Layer) -> list[Connection]:
    """Streams at a layer's inputs, by port."""
    found = design.ports_of(layer.module).items()
    return [one for port, one in found if port.startswith("in")]


def outputs_of(design: Design, layer: Layer) -> list[Connection]:
    """Streams at a layer's outputs, by port."""
    found = design.ports_of(layer.module).items()
    return [one for port, one in found if port.startswith("out")]


def check_nodes(place: Place, graph: IntegerGraph, units: dict[str, UnitParameters]) -> None:
    """Each node of the graph is computed by one layer."""
    computed = Counter(
        node.name for unit in units.values() if unit.kind not in _MOVERS for node in unit.nodes
    )
    for node in graph.nodes:
        if not isinstance(node, Flatten):
            place.check(f"layers that compute `{node.name}`", 1, computed[node.name])


def check_streams(
    place: Place, design: Design, graph: IntegerGraph, unit: UnitParameters, topology: Topology
) -> None:
    """A layer reads its tensors, all of their elements, and gives its own, in types that hold
    them."""
    inputs, outputs = inputs_of(design, unit.layer), outputs_of(design, unit.layer)
    if unit.kind is not UnitKind.COPY:
        expected = [_unflattened(graph, one).name for one in unit.inputs]
        found = [_unflattened(graph, topology.carried[s.number]).name for s in inputs]
        if unit.kind is not UnitKind.CONCAT:  # the one whose result depends on their order
            expected, found = sorted(expected), sorted(found)
        place.check("tensors that it reads", expected, found)
        for index, stream in enumerate(inputs):
            elements = _elements_read(unit, index)
            place.check("elements of a frame that it reads", elements, stream.elements)
        for stream in outputs:
            place.check("elements of a frame that it makes", _elements_made(unit), stream.elements)
    for stream in outputs:
        tensor = topology.carried[stream.number]
        kind = IntType(stream.bits, stream.signed)
        place.holds(
            f"type of its stream {stream.source.port}",
            f"one that holds {tensor.lo} to {tensor.hi}",
            kind.lo <= tensor.lo and tensor.hi <= kind.hi,
            kind,
        )


def _elements_read(unit: UnitParameters, index: int) -> int:
    if unit.kind in MOVING:
        return unit.inputs[index].size
    if unit.padding is not None:
        return unit.padding.rows * unit.padding.columns * unit.padding.channels
    if unit.window is not None:
        return unit.window.rows * unit.window.columns * unit.window.channels
    if unit.matrix is not None:
        return unit.vectors * unit.matrix.shape[1]
    return unit.vectors * unit.channels * unit.positions


def _elements_made(unit: UnitParameters) -> int:
    taps = unit.positions if unit.kind is UnitKind.WINDOW else 1
    return unit.vectors * unit.channels * taps


def _unflattened(graph: IntegerGraph, tensor: Tensor) -> Tensor:
    """The tensor that a Flatten's output holds the elements of."""
    node = graph.producer(tensor.name)
    return (
        _unflattened(graph, graph.tensors[node.inputs[0]]) if isinstance(node, Flatten) else tensor
    )

"""A stitched design read back whole and compared with the integer graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qdeploy.bounded import read_bounded
from qdeploy.design.manifest import Design
from qdeploy.errors import PassError
from qdeploy.ir.integer_graph import Bias, Conv, Dense, IntegerGraph, Threshold
from qdeploy.resources import resource
from qdeploy.verify.memories.blocks import LIBRARY
from qdeploy.verify.memories.constructs import constructs_of
from qdeploy.verify.memories.geometry import check_padding, check_window
from qdeploy.verify.memories.ledger import Ledger, Place, UnreadableError
from qdeploy.verify.memories.library import check_library, needed
from qdeploy.verify.memories.moving import check_concatenation, check_enlargement
from qdeploy.verify.memories.products import check_depthwise, check_matrix
from qdeploy.verify.memories.reader import LayerReading
from qdeploy.verify.memories.simple import (
    check_addition,
    check_argmax,
    check_bias,
    check_copy,
    check_global_sum,
    check_max_pool,
    check_thresholds,
)
from qdeploy.verify.memories.top import check_top
from qdeploy.verify.memories.topology import (
    Topology,
    check_nodes,
    check_streams,
    follow,
    inputs_of,
    outputs_of,
)
from qdeploy.verify.memories.verilog import VerilogError, read_module
from qdeploy.verify.memories.wrapper import read_wrapper
from qdeploy.verify.units.parameters import UnitKind, UnitParameters, unit_parameters

MOST_TEXT = 1 << 28
_READERS: dict[UnitKind, Callable[[LayerReading], None]] = {
    UnitKind.MATRIX: check_matrix,
    UnitKind.DEPTHWISE: check_depthwise,
    UnitKind.THRESHOLDS: check_thresholds,
    UnitKind.BIAS: check_bias,
    UnitKind.ADDITION: check_addition,
    UnitKind.PADDING: check_padding,
    UnitKind.WINDOW: check_window,
    UnitKind.MAX_POOL: check_max_pool,
    UnitKind.GLOBAL_SUM: check_global_sum,
    UnitKind.ARGMAX: check_argmax,
    UnitKind.CONCAT: check_concatenation,
    UnitKind.ENLARGE: check_enlargement,
}


def check_design(
    folder: Path, design: Design, graph: IntegerGraph, library: Path | None = None
) -> Ledger:
    """Compare every number and parameter of a design with the integer graph.

    Args:
        folder: of the design.
        library: what its library files have to equal; None for this version's.

    Raises:
        UserError: the design was stitched before its streams and nodes were recorded.
    """
    ledger = Ledger(folder)
    whole = Place(ledger, "", design.top)
    units = _units(ledger, design, graph)
    if units is None:
        return ledger
    check_nodes(whole, graph, units)
    try:
        topology = follow(design, graph, units)
    except UnreadableError as error:
        whole.differs("the manifest", "layers in a row", error)
        return ledger
    blocks: set[str] = {"qd_tlast", *(["qd_config"] if design.loading else [])}
    for layer in design.layers:
        place = Place(ledger, layer.layer, layer.module)
        check_streams(place, design, graph, units[layer.module], topology)
        blocks |= _layer(place, design, units[layer.module], topology)
    _guarded(whole, partial(_check_top, whole, design))
    _ends(whole, design, graph, topology)
    if design.loading is not None:
        loaded = [name for load in design.loading.loads for name in load.files]
        whole.check("memory files that are loaded", sorted(design.memories), sorted(loaded))
    _files(ledger, design, blocks, library or resource(LIBRARY))
    _count_parameters(ledger, graph)
    return ledger


def _units(ledger: Ledger, design: Design, graph: IntegerGraph) -> dict[str, UnitParameters] | None:
    """What each layer has to be, by module; None where the manifest contradicts the graph."""
    found = {}
    for layer in design.layers:
        place = Place(ledger, layer.layer, layer.module)
        try:
            found[layer.module] = unit_parameters(design, graph, layer)
        except PassError as error:
            place.differs("the manifest", "a layer of the integer graph", error.what)
    return found if not ledger.differing else None


def _layer(place: Place, design: Design, unit: UnitParameters, topology: Topology) -> set[str]:
    """Read one layer; the library modules it uses."""
    layer, used = unit.layer, set[str]()

    def read() -> None:
        module, rest = read_module(_text(place.ledger.folder, f"{layer.module}.v"))
        inputs, outputs = inputs_of(design, layer), outputs_of(design, layer)
        if module.name != layer.module:
            raise UnreadableError(f"it holds module `{module.name}`")
        loads = design.loading is not None and layer.module in design.loading.modules
        wrapper = read_wrapper(module, len(inputs), len(outputs), loads=loads)
        if rest.strip() and not wrapper.embedded:
            raise UnreadableError("there is text after its module")
        used.update(block.module for block in wrapper.blocks)
        for construct in dict.fromkeys(c for b in wrapper.blocks for c in constructs_of(b)):
            place.ledger.constructs.setdefault(construct, []).append(place.layer)
        reading = LayerReading(
            place,
            unit,
            wrapper,
            tuple(inputs),
            tuple(outputs),
            tuple(topology.carried[stream.number] for stream in inputs),
            rest,
            topology.lanes.get(inputs[0].number, 0),
        )
        if unit.kind is UnitKind.COPY:
            check_copy(reading, design)
        else:
            _READERS[unit.kind](reading)
        if wrapper.embedded:
            used.add("qd_count_six")

    _guarded(place, read)
    place.ledger.counted["layers"] += 1
    return used


def _guarded(place: Place, read: Callable[[], None]) -> None:
    """Run a reader; what it cannot read is a difference."""
    try:
        read()
    except (UnreadableError, VerilogError) as error:
        place.differs("its text or memories", "as a design has them", f"otherwise: {error}")


def _text(folder: Path, name: str) -> str:
    try:
        return read_bounded(folder / name, MOST_TEXT)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"`{name}` cannot be read: {error}") from error


def _check_top(place: Place, design: Design) -> None:
    check_top(place, design, _text(place.ledger.folder, f"{design.top}.v"))


def _ends(place: Place, design: Design, graph: IntegerGraph, topology: Topology) -> None:
    """The streams that others read: input, output, taps."""
    streams = design.connections()
    entry = next(one for one in streams if not one.source.module)
    last = next(one for one in streams if not one.sink.module)
    place.check("tensor at the output", graph.output, topology.carried[last.number].name)
    by_tap = {one.tap: one for one in streams if one.tap is not None}
    ends = [(design.input, entry), (design.output, last)]
    ends += [(tap, by_tap[tap.name]) for tap in design.taps]
    for stream, one in ends:
        tensor = topology.carried[one.number]
        facts = (tensor.name, tensor.size, one.per_beat, one.bits, one.signed)
        given = (stream.tensor, stream.elements, stream.per_beat, stream.bits, stream.signed)
        place.check(f"stream `{stream.name}`", facts, given)


def _files(ledger: Ledger, design: Design, used: set[str], library: Path) -> None:
    """Every source is known, and every memory file is read once."""
    own = {f"{name}.v" for name in (design.top, *(layer.module for layer in design.layers))}
    loadable = design.loading is not None
    copies = [name for name in design.sources if name not in own]
    check_library(ledger, library, copies, loadable=loadable)
    for name in sorted((own | needed(used, loadable=loadable)) - set(design.sources)):
        Place(ledger, "", name).differs("the file", "among the design's sources", "not there")
    for name in sorted({*design.memories, *ledger.used}):
        listed = int(name in design.memories)
        place = Place(ledger, "", name)
        place.check("layers that read the memory file", listed, ledger.used[name], "files")


def _count_parameters(ledger: Ledger, graph: IntegerGraph) -> None:
    """The network's own numbers, all of which were compared."""
    counted = ledger.counted
    for node in graph.nodes:
        if isinstance(node, Conv | Dense):
            counted["weights"] += node.weights.size
        elif isinstance(node, Threshold):
            counted["thresholds"] += node.thresholds.size
        elif isinstance(node, Bias):
            counted["biases"] += node.bias.size

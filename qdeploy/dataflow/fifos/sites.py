"""Where FIFOs may be, and the insertion of FIFOs of given depths.

A site is a stream with its consumer. There is one before the first layer, after every layer that
works in bursts, before the nodes that form a window, before what stops its input to put out more
than it took, and at every input of a join. Sites, and the
names of their FIFOs, do not depend on depths, so that depths found in one variant of a design hold
for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.dataflow.fifos.depths import SHALLOW, BranchSkews, waiting_rows
from qdeploy.dataflow.finn.names import distinct, identifier
from qdeploy.dataflow.finn.nodes import HARDWARE_DOMAIN, HwNode, Kind, hw_nodes

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Fills are counted in 16 bits.
DEEPEST = 32_768
# A FIFO that must never fill holds at least this many words, or a frame.
DEEP = 512


@dataclass(frozen=True)
class FifoSite:
    """A stream that may have a FIFO.

    Args:
        stream: its name, `<consumer>.<number of the input>`.
        fifo: name of the FIFO.
        width: bits per word.
        analytic: depth by the skew of the branches; 0 where there is none without simulation.
        least: the smallest depth it may be given: 0 where none is needed, 2 where the FIFO also
            keeps the ready signals of two layers apart.
        deep: depth that never fills.
    """

    stream: str
    fifo: str
    width: int
    analytic: int
    least: int
    deep: int


def fifo_sites(model: ModelWrapper) -> list[FifoSite]:
    """All sites of a model of specialized, folded, named layers with their width converters."""
    skews = BranchSkews(model)
    nodes = hw_nodes(model)
    found: list[tuple[HwNode, int, int, int]] = []  # consumer, input, analytic and least depth
    for node in nodes:
        for index in node.inputs:
            depths = _depths(model, skews, node, index)
            if depths is not None:
                found.append((node, index, *depths))
    taken = [node.name for node in nodes]
    names = [f"{identifier(node.layer)}_fifo" for node, *_ in found]
    names = distinct([*taken, *names])[len(taken) :]
    result = []
    for name, (node, index, analytic, least) in zip(names, found, strict=True):
        stream = node.input(index)
        result.append(
            FifoSite(
                stream=node.stream_name(index),
                fifo=name,
                width=stream.width,
                analytic=analytic,
                least=least,
                deep=min(DEEPEST, max(DEEP, stream.beats, 2 * analytic)),
            )
        )
    return result


def insert_fifos(
    model: ModelWrapper, depths: Mapping[str, int] | None = None, *, limited: bool = False
) -> None:
    """Put FIFOs into a model as `fifo_sites` takes it, in place; they still have to be specialized.

    Args:
        depths: stream -> depth, 0 for none; the analytic ones when None.
        limited: make them stand-ins for simulation whose depth can be limited at run time, each
            so deep that it never fills.
    """
    for site in fifo_sites(model):
        depth = site.analytic if depths is None else depths.get(site.stream, site.analytic)
        depth = site.deep if limited else depth
        if depth:
            _insert(model, site, depth, limited)


def _depths(
    model: ModelWrapper, skews: BranchSkews, node: HwNode, index: int
) -> tuple[int, int] | None:
    """Analytic and least depth before an input, None where no FIFO may be."""
    tensor = node.node.input[index]
    if tensor == model.graph.input[0].name:
        return SHALLOW, 2
    producer = node.producer(index)
    if producer is None:
        return None
    wait = skews.wait(node.name, tensor)
    if wait is not None:
        return wait.depth(node.input(index).beats), 2
    if producer.operator.bursts:
        # Its output is a register whose ready signal goes no further.
        return None if _widens(node) else (SHALLOW + waiting_words(node), 0)
    if node.operator.pauses:
        # While a row is repeated, or zeros take its place, about a row of the next pixels comes in.
        stream = node.input(index)
        return SHALLOW + stream.beats // stream.shape[1], 0
    starts = node.moves_pixels and not producer.moves_pixels
    before = producer.producer()
    after_burst = producer.kind is Kind.CONVERTER and before is not None and before.operator.bursts
    if after_burst and _widens(producer):
        # Whole pixels wait here: a window wants them at once, not at the narrow side's pace.
        return SHALLOW + waiting_words(node), 0
    if starts and not after_burst:
        # A window that pauses would stop a fork, and with it all that it feeds and that feeds it.
        words = waiting_words(node)
        return (SHALLOW + words if words else 0), 0
    return None


def waiting_words(node: HwNode) -> int:
    """Words before what leads into a window that wait while the window pauses; 0 for what leads
    into none."""
    top = bottom = 0
    first, current = node, node
    while current.kind in (Kind.PADDING, Kind.CONVERTER):
        padding = current.padding
        if padding is not None:
            top, bottom = top + padding.top, bottom + padding.bottom
        consumer = current.consumer()
        if consumer is None:
            return 0
        current = consumer
    if current.window is None:
        return 0
    rows = waiting_rows(current.window, top, bottom)
    stream = first.input()
    return rows * (stream.beats // stream.shape[1])


def _widens(node: HwNode) -> bool:
    return node.kind is Kind.CONVERTER and node.output().width > node.input().width


def _insert(model: ModelWrapper, site: FifoSite, depth: int, limited: bool) -> None:
    from onnx import helper

    consumer_name, _, number = site.stream.rpartition(".")
    graph, index = model.graph, int(number)
    consumer = next(node for node in hw_nodes(model) if node.name == consumer_name)
    tensor, inst = consumer.node.input[index], consumer.instance
    result = f"{site.fifo}_out"
    dtype = inst.get_input_datatype(index)
    info = model.get_tensor_valueinfo(tensor)
    shape = model.get_tensor_shape(tensor)
    made = helper.make_tensor_value_info(result, info.type.tensor_type.elem_type, shape)
    graph.value_info.append(made)
    model.set_tensor_datatype(result, dtype)
    fifo = helper.make_node(
        "StreamingFIFO",
        [tensor],
        [result],
        name=site.fifo,
        domain=HARDWARE_DOMAIN,
        backend="fpgadataflow",
        depth=depth,
        folded_shape=[int(size) for size in inst.get_folded_input_shape(index)],
        normal_shape=[int(size) for size in shape],
        dataType=str(dtype.name),
        **({"limited": 1} if limited else {}),
    )
    fifo.doc_string = consumer.layer
    consumer.node.input[index] = result
    graph.node.insert(list(graph.node).index(consumer.node), fifo)

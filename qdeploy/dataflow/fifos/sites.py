"""Where FIFOs may stand, and FIFOs of given depths put there.

A site is a stream with its consumer. There is one in front of the first layer, behind every layer
that works in bursts, in front of what starts a window, and at every input of a join. Places, and
the names of the FIFOs there, do not depend on depths, so that depths found in one variant of a
design hold for another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from qdeploy.dataflow.fifos.depths import SHALLOW, BranchSkews, has_output_fifo, waiting_rows
from qdeploy.dataflow.finn.names import distinct, identifier
from qdeploy.dataflow.finn.nodes import layer_of, stream_name

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

# Fills are counted in 16 bits.
DEEPEST = 32_768
# A FIFO that is meant never to fill holds at least this, or a frame.
DEEP = 512
_CONVERTER = "StreamingDataWidthConverter"
_PADDING = "FMPadding"
_MOVERS = (_PADDING, "ConvolutionInputGenerator")


@dataclass(frozen=True)
class FifoSite:
    """A stream that may have a FIFO.

    Args:
        stream: its name, `<consumer>.<number of the input>`.
        fifo: name of the FIFO.
        width: bits a word.
        analytic: depth by the skews of the branches; 0 where there is none without simulation.
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
    from qonnx.custom_op.registry import getCustomOp

    skews = BranchSkews(model)
    found: list[tuple[NodeProto, int, int, int]] = []  # consumer, input, analytic and least depth
    for node in model.graph.node:
        for index in range(len(node.input)):
            depths = _depths(model, skews, node, index)
            if depths is not None:
                found.append((node, index, *depths))
    taken = [node.name for node in model.graph.node]
    names = [f"{identifier(layer_of(model, node))}_fifo" for node, *_ in found]
    names = distinct([*taken, *names])[len(taken) :]
    result = []
    for name, (node, index, analytic, least) in zip(names, found, strict=True):
        inst = getCustomOp(node)
        frame = _beats(inst, index)
        result.append(
            FifoSite(
                stream=stream_name(node, node.input[index]),
                fifo=name,
                width=int(inst.get_instream_width(index)),
                analytic=analytic,
                least=least,
                deep=min(DEEPEST, max(DEEP, frame, 2 * analytic)),
            )
        )
    return result


def insert_fifos(
    model: ModelWrapper, depths: Mapping[str, int] | None = None, *, limited: bool = False
) -> None:
    """Put FIFOs into a model as `fifo_sites` takes it, in site; they still have to be specialized.

    Args:
        depths: stream -> depth, 0 for none; the analytic ones when None.
        limited: make them stand-ins for simulation whose depth can be limited at run time, every
            one as deep as never fills.
    """
    for site in fifo_sites(model):
        depth = site.analytic if depths is None else depths.get(site.stream, site.analytic)
        depth = site.deep if limited else depth
        if depth:
            _insert(model, site, depth, limited)


def _depths(
    model: ModelWrapper, skews: BranchSkews, node: NodeProto, index: int
) -> tuple[int, int] | None:
    """Analytic and least depth in front of an input, None where no FIFO may stand."""
    from qonnx.custom_op.registry import getCustomOp

    tensor = node.input[index]
    if tensor == model.graph.input[0].name:
        return SHALLOW, 2
    producer = model.find_producer(tensor)
    if producer is None:
        return None
    wait = skews.wait(node, tensor)
    if wait is not None:
        return wait.depth(_beats(getCustomOp(node), index)), 2
    if has_output_fifo(producer):
        # Its output is a register whose ready signal goes no further.
        return None if _widens(node) else (SHALLOW + waiting_words(model, node), 0)
    starts = node.op_type.startswith(_MOVERS) and not producer.op_type.startswith(_MOVERS)
    behind = model.find_producer(producer.input[0])
    converted = producer.op_type.startswith(_CONVERTER)
    if converted and behind is not None and has_output_fifo(behind) and _widens(producer):
        # Whole pixels wait here: a window wants them at once, not at the narrow side's pace.
        return SHALLOW + waiting_words(model, node), 0
    if starts and not (converted and behind is not None and has_output_fifo(behind)):
        # A window that pauses would stop a fork, and with it all that it feeds and that feeds it.
        words = waiting_words(model, node)
        return (SHALLOW + words if words else 0), 0
    return None


def waiting_words(model: ModelWrapper, node: NodeProto) -> int:
    """Words in front of what leads into a window that wait while the window pauses; 0 for what
    leads into none."""
    from qonnx.custom_op.registry import getCustomOp

    top = bottom = 0
    first = getCustomOp(node)
    while node.op_type.startswith((_PADDING, _CONVERTER)):
        if node.op_type.startswith(_PADDING):
            padding = [int(size) for size in getCustomOp(node).get_nodeattr("Padding")]
            top, bottom = top + padding[0], bottom + padding[2]
        node = model.find_consumer(node.output[0])
        if node is None:
            return 0
    if not node.op_type.startswith(_MOVERS):
        return 0
    rows = waiting_rows(getCustomOp(node), top, bottom)
    height = int(first.get_normal_input_shape()[1])
    return rows * (_beats(first, 0) // height)


def _widens(node: NodeProto) -> bool:
    from qonnx.custom_op.registry import getCustomOp

    if not node.op_type.startswith(_CONVERTER):
        return False
    inst = getCustomOp(node)
    return bool(inst.get_outstream_width() > inst.get_instream_width())


def _beats(inst: Any, index: int) -> int:
    return prod(int(size) for size in inst.get_folded_input_shape(index)[:-1])


def _insert(model: ModelWrapper, site: FifoSite, depth: int, limited: bool) -> None:
    from onnx import helper
    from qonnx.custom_op.registry import getCustomOp

    consumer_name, _, number = site.stream.rpartition(".")
    graph, index = model.graph, int(number)
    consumer = next(node for node in graph.node if node.name == consumer_name)
    tensor, inst = consumer.input[index], getCustomOp(consumer)
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
        domain="finn.custom_op.fpgadataflow",
        backend="fpgadataflow",
        depth=depth,
        folded_shape=[int(size) for size in inst.get_folded_input_shape(index)],
        normal_shape=[int(size) for size in shape],
        dataType=str(dtype.name),
        **({"limited": 1} if limited else {}),
    )
    fifo.doc_string = layer_of(model, consumer)
    consumer.input[index] = result
    graph.node.insert(list(graph.node).index(consumer), fifo)

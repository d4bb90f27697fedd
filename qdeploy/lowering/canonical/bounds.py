"""What a file may ask for, checked before anything is computed from it or looked up for it.

A QONNX file may come from anywhere. Its node domains name Python packages to qonnx, which would
import them; its shapes may declare more than any machine holds.
Neither is done before it is known to be harmless; constants that nodes compute are bounded in
`constants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.refusal import LOOP, refuse

QONNX_DOMAIN = "qonnx.custom_op.general"
STANDARD_DOMAINS = ("", "ai.onnx")
# Names under which exporters have written the same operators.
SAME_AS_QONNX = ("finn.custom_op.general", "onnx.brevitas")
# Standard operators over maps (N, H, W, C).
CHANNELS_LAST_DOMAIN = "qonnx.custom_op.channels_last"
# onnxruntime's own, of which two operators are taken: as ONNX has them, for more integer types.
MICROSOFT_DOMAIN = "com.microsoft"
MICROSOFT_OPERATORS = ("QuantizeLinear", "DequantizeLinear")
DOMAINS = (*STANDARD_DOMAINS, QONNX_DOMAIN, *SAME_AS_QONNX, CHANNELS_LAST_DOMAIN)

MAX_FILE_BYTES = 1 << 30
MAX_NODES = 8_000
# Elements of one tensor, constant or not: the largest board holds a fraction of that.
MAX_ELEMENTS = 1 << 26
# Values of all tensors together, for one frame.
MAX_OF_FRAME = 1 << 29
# Elements of all constants that nodes compute.
MAX_COMPUTED = 1 << 28
_OLD_TRUNC_INPUTS = 5
_PACKED = {TensorProto.INT4: 2, TensorProto.UINT4: 2}
# Fields of a TensorProto for types that are not in `raw_data`.
_FIELDS = {
    TensorProto.FLOAT: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.UINT32: "uint64_data",
}


def check_size(path: Path) -> None:
    """Refuse a file that is too large to be read.

    Raises:
        UnsupportedLayerError: it is.
        OSError: there is none.
    """
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise _too_much(
            path.name, str(path), f"it has {size:,} bytes, more than {MAX_FILE_BYTES:,}"
        )


def check_bounds(model: ModelProto, name: str, where: str) -> None:
    """Check what a file declares; its nodes' domains become standard ones.

    Args:
        name, where: of the file, in messages.

    Raises:
        UnsupportedLayerError: an operator of an unknown domain, a subgraph, a function of its own,
            a tensor without its data or one that is too large, or too many nodes.
    """
    if len(model.graph.node) > MAX_NODES:
        raise _too_much(
            name, where, f"it has {len(model.graph.node):,} nodes, more than {MAX_NODES:,}"
        )
    if len(model.functions):
        raise UnsupportedLayerError(
            f"{name} defines functions of its own",
            where=f"{where}: function `{model.functions[0].name}`",
            why="only operators of ONNX and QONNX are known",
            do="export the network with its functions expanded",
        )
    for node in model.graph.node:
        _check_node(node)
        if node.domain in SAME_AS_QONNX:
            node.domain = QONNX_DOMAIN
        for item in node.attribute:
            if item.name == "rounding_mode" and item.s.upper() == b"ROUND_TO_ZERO":
                item.s = b"DOWN"  # the same, by the one name that the executor knows
    _import_domains(model)
    for tensor in tensors_of(model):
        problem = _data_problem(tensor)
        if problem is not None:
            raise UnsupportedLayerError(
                f"the constant `{tensor.name}` of {name} cannot be read",
                where=where,
                why=problem,
                do="export the network again",
            )
    check_shapes(model, name, where)


def check_shapes(model: ModelProto, name: str, where: str) -> None:
    """Check the shapes that a file declares, or those found for its tensors.

    Raises:
        UnsupportedLayerError: one is too large, or all together are: a frame takes them all.
    """
    total = 0
    for item in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        sizes = [int(dim.dim_value) for dim in item.type.tensor_type.shape.dim]
        elements = prod(max(size, 1) for size in sizes)
        total += elements
        if min(sizes, default=0) < 0:
            raise UnsupportedLayerError(
                f"the tensor `{item.name}` of {name} would have the shape {tuple(sizes)}",
                where=where,
                why="a window larger than its padded map leaves nothing",
                do="use a smaller window or dilation, or a larger input",
            )
        if elements > MAX_ELEMENTS:
            raise _too_much(
                name,
                where,
                f"the tensor `{item.name}` has the shape {tuple(sizes)}, more than "
                f"{MAX_ELEMENTS:,} elements",
            )
    if total > MAX_OF_FRAME:
        raise _too_much(name, where, f"a frame takes {total:,} values, more than {MAX_OF_FRAME:,}")


def _too_much(name: str, where: str, why: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"{name} is larger than any board can hold",
        where=where,
        why=why,
        do="export a smaller network, with fixed sizes after the batch axis",
    )


def _check_node(node: NodeProto) -> None:
    same = node.domain == MICROSOFT_DOMAIN and node.op_type in MICROSOFT_OPERATORS
    if node.domain not in DOMAINS and not same:
        raise refuse(
            node,
            f"its operator is of the domain `{node.domain[:80]}`",
            expected=f"an operator of {', '.join(f'`{d}`' for d in DOMAINS if d)}",
            why="operators of other domains are programs, which a file cannot bring along",
            do="export the network with QONNX operators",
        )
    graphs = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
    if any(item.type in graphs or item.ref_attr_name for item in node.attribute):
        raise refuse(node, f"{node.op_type} has a graph of its own", why=LOOP[0], do=LOOP[1])


def _import_domains(model: ModelProto) -> None:
    """The operator sets in use, declared once; QONNX's is added, since passes write its nodes."""
    declared = {item.domain for item in model.opset_import}
    for item in list(model.opset_import):
        if item.domain in SAME_AS_QONNX:
            model.opset_import.remove(item)
    if QONNX_DOMAIN not in declared:
        model.opset_import.append(helper.make_opsetid(QONNX_DOMAIN, 1))
    # Version 2 of the set has a Trunc of six inputs, version 1 one of five; all else is the same.
    inputs = {len(node.input) for node in model.graph.node if node.op_type == "Trunc"}
    if inputs:
        item = next(item for item in model.opset_import if item.domain == QONNX_DOMAIN)
        item.version = 2 if max(inputs) > _OLD_TRUNC_INPUTS else 1


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every constant of a file: initializers and tensors in attributes."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def _data_problem(tensor: TensorProto) -> str | None:
    """What is wrong with a constant's size, None where the data is as long as its shape says."""
    if any(size < 0 for size in tensor.dims):
        return f"its shape is {tuple(tensor.dims)}"
    count = prod(tensor.dims)
    if count > MAX_ELEMENTS:
        return f"its shape {tuple(tensor.dims)} has more than {MAX_ELEMENTS:,} elements"
    if tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        item = int(helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)
    except (KeyError, TypeError, ValueError):
        return f"its type {tensor.data_type} is not known"
    if tensor.data_type == TensorProto.STRING:
        return "it holds text"
    if tensor.raw_data:
        share = _PACKED.get(tensor.data_type, 1)
        wanted = -(-count // share) * (1 if share > 1 else item)
        have = len(tensor.raw_data)
        return None if have == wanted else f"it has {have} bytes of data, its shape takes {wanted}"
    have = len(getattr(tensor, _FIELDS.get(tensor.data_type, "int32_data")))
    share = _PACKED.get(tensor.data_type, 1)
    wanted = -(-count // share)
    return None if have == wanted else f"it has {have} values, its shape takes {wanted}"

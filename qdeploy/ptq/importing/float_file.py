"""A float ONNX file in canonical form, or a refusal that names all that stands in the way.

The file is read as `qdeploy export` reads one (`lowering/canonical`): any operator set from 7 on,
any batch, constants in files beside it, Keras' channels-last maps. Then only these are left:

    Conv, MatMul, Mul, Add, Sub, Div, Relu, Clip, LeakyRelu, MaxPool, AveragePool,
    GlobalAveragePool, GlobalMaxPool, ReduceMean, Concat, Flatten, Pad, ConvTranspose, Resize,
    Upsample, DepthToSpace

Batch norm is a factor and a term for each channel by then, Gemm a MatMul and an Add.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onnx import ModelProto, NodeProto

from qdeploy.errors import UnsupportedLayerError, UserError
from qdeploy.ir.input_codes import RawType
from qdeploy.lowering.canonical.affine_nodes import BatchNormToAffine, GemmToMatMul
from qdeploy.lowering.canonical.bounds import check_shapes
from qdeploy.lowering.canonical.cleaning import (
    FoldConstants,
    PlainSums,
    RemoveIdentities,
    RemoveUnread,
)
from qdeploy.lowering.canonical.constants import refuse_growth
from qdeploy.lowering.canonical.heads import CutHead
from qdeploy.lowering.canonical.import_qonnx import FIRST, one_input
from qdeploy.lowering.canonical.input_type import declared_type, float_input
from qdeploy.lowering.canonical.layout import ChannelsFirst
from qdeploy.lowering.canonical.padding import ExplicitPads
from qdeploy.lowering.canonical.parameter_rules import check_counts, check_parameters
from qdeploy.lowering.canonical.passes import Pass, run_passes
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes
from qdeploy.lowering.canonical.reading import read_file
from qdeploy.lowering.canonical.reshapes import ReshapeToFlatten
from qdeploy.lowering.canonical.resizes import ResizeByFactors
from qdeploy.lowering.canonical.window_rules import check_channels, check_windows
from qdeploy.ptq.importing.row_means import MeanOfRow

PASSES: tuple[Pass, ...] = (
    RemoveUnread(),
    FoldConstants(),
    RemoveIdentities(),
    PlainSums(),
    CutHead(),
    RemoveUnread(),
    ResizeByFactors(),
    ChannelsFirst(),
    BatchNormToAffine(),
    GemmToMatMul(),
    ReshapeToFlatten(),
    MeanOfRow(),
    ExplicitPads(),
)
LAYERS = frozenset(
    {
        *("Conv", "MatMul", "Mul", "Add", "Sub", "Div", "Relu", "Clip", "LeakyRelu"),
        *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"),
        *("Concat", "Flatten", "Pad", "ConvTranspose", "Resize", "Upsample", "DepthToSpace"),
    }
)
# What the passes take out of a file, where it does what exporters use it for.
_REMOVED = frozenset(
    {
        *("Gemm", "BatchNormalization", "Sum", "Neg", "Identity", "Dropout", "Cast"),
        *("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Constant", "ConstantOfShape"),
        *("Shape", "Gather", "Slice", "Expand", "Range", "Size", "Reciprocal", "Sqrt"),
        *("Softmax", "LogSoftmax", "Sigmoid", "Hardmax", "ArgMax", "TopK"),
    }
)
_QUANTIZED = frozenset(
    {
        *("Quant", "IntQuant", "BipolarQuant", "MultiThreshold", "Trunc"),
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
        *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
    }
)


@dataclass(frozen=True)
class FloatFile:
    """A file that was read.

    Args:
        model: in canonical form, for one frame, shapes inferred.
        whole: the file before that, for one frame, with the logits as its output: to compare.
        raw: the integers that its input is made of, None where it does not say.
        notes: what a person should know of how it was read.
    """

    model: ModelProto
    whole: ModelProto
    raw: RawType | None
    notes: tuple[str, ...]


def read_float_file(path: Path) -> FloatFile:
    """Read a float network.

    Raises:
        UserError: it is quantized already.
        UnsupportedLayerError: it holds no network of one input and output, has a shape that is not
            fixed, or operators that cannot be quantized, all of which are named.
    """
    model, notes = read_file(path)
    _refuse_quantized(model, path)
    _refuse_operators(model.graph.node, LAYERS | _REMOVED, path)
    float_input(model)
    one_input(model, path.name, str(path), most_outputs=1)
    check_counts(model)
    check_windows(model)
    model = infer_shapes(model)
    check_channels(model)
    model = infer_shapes(run_passes(model, FIRST, probe=False).model)
    refuse_growth(model)
    check_shapes(model, path.name, str(path))
    check_parameters(model)
    whole = run_passes(model, (CutHead(), RemoveUnread()), probe=False).model
    result = run_passes(model, PASSES, probe=False)
    made = infer_shapes(result.model)
    _refuse_operators(_after_input(made), LAYERS, path)
    return FloatFile(
        made, whole, declared_type(model), tuple(dict.fromkeys([*notes, *result.notes]))
    )


def input_turn(model: ModelProto) -> tuple[NodeProto | None, tuple[int, ...]]:
    """The Transpose that brings the input into the order of the layers, where there is one, and its
    order of axes, without that of the batch counted from 0."""
    name = model.graph.input[0].name
    readers = [node for node in model.graph.node if name in node.input]
    if len(readers) == 1 and readers[0].op_type == "Transpose":
        perm = next(list(item.ints) for item in readers[0].attribute if item.name == "perm")
        return readers[0], tuple(axis - 1 for axis in perm[1:])
    return None, ()


def _after_input(model: ModelProto) -> list[NodeProto]:
    first, _ = input_turn(model)
    return [node for node in model.graph.node if node is not first]


def _refuse_quantized(model: ModelProto, path: Path) -> None:
    found = [node for node in model.graph.node if node.op_type in _QUANTIZED]
    if found:
        kinds = ", ".join(sorted({node.op_type for node in found}))
        raise UserError(
            f"`{path.name}` is quantized already",
            where=str(path),
            why=f"it has {len(found)} of {kinds}; the first is "
            f"`{found[0].name or found[0].output[0]}`",
            do=f"build it with `qdeploy export {path}`, or give the float network",
        )


def _refuse_operators(nodes: object, known: frozenset[str], path: Path) -> None:
    others: dict[str, list[str]] = {}
    for node in nodes:  # type: ignore[attr-defined]
        if node.op_type not in known:
            others.setdefault(node.op_type, []).append(node.name or node.output[0])
    if others:
        count = sum(map(len, others.values()))
        listed = "\n  ".join(f"{kind}: {', '.join(names)}" for kind, names in others.items())
        raise UnsupportedLayerError(
            f"{count} node{'s' if count > 1 else ''} of `{path.name}` cannot be quantized\n  "
            + listed,
            where=str(path),
            expected="Conv, ConvTranspose, Gemm, MatMul, BatchNormalization, Relu, Clip, "
            "LeakyRelu, pools, averages, nearest Resize, DepthToSpace, Add, Concat, Flatten, "
            "Reshape to vectors; Softmax and the like at the end",
            do="exchange them, and train the network again",
        )

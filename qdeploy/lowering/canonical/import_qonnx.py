"""The canonical form of a QONNX or QCDQ file: any file goes through the same pipeline.

The canonical form has Quant, BipolarQuant, Trunc, MultiThreshold, Conv, MatMul, Mul, Add, Sub, Div,
monotone activations, MaxPool, averages and Flatten, and what the lowering then refuses by name.
Reading (`reading.py`) and the passes, each in the file of its kind:

    cleaning.py          results nobody reads, identities, constants, shapes
    annotations.py       integer weights that an annotation declares
    qcdq.py              QuantizeLinear, DequantizeLinear   -> Quant
    affine_nodes.py      BatchNormalization, Gemm           -> Mul, Add, MatMul
    one_row.py           sequences, shared linear layers    -> maps, convolutions
    layout.py            channels-last maps, wrapped axes   -> channels first
    reshapes.py          reshapes                           -> Flatten
    averages.py          QuantAvgPool2d                     -> AveragePool, Mul, Trunc
    resizes.py           sizes of a Resize                  -> factors
    padding.py           Pad, auto_pad                      -> pads of the window
    heads.py             Softmax, ArgMax, TopK at the end   -> cut off

A file in canonical form is its own canonical form.
"""

from __future__ import annotations

import json
from pathlib import Path

import onnx
from onnx import ModelProto

from qdeploy.artifacts import atomic_path
from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.input_codes import RawType
from qdeploy.lowering.canonical.affine_nodes import BatchNormToAffine, GemmToMatMul
from qdeploy.lowering.canonical.annotations import AnnotatedWeights
from qdeploy.lowering.canonical.averages import QuantAveragePool
from qdeploy.lowering.canonical.bounds import check_shapes
from qdeploy.lowering.canonical.cleaning import (
    FoldConstants,
    PlainSums,
    RemoveIdentities,
    RemoveUnread,
)
from qdeploy.lowering.canonical.constants import refuse_growth
from qdeploy.lowering.canonical.heads import CutHead
from qdeploy.lowering.canonical.input_type import declare_type, float_input
from qdeploy.lowering.canonical.layout import ChannelsFirst
from qdeploy.lowering.canonical.one_row import OneRow
from qdeploy.lowering.canonical.outputs import join_outputs, keep_output
from qdeploy.lowering.canonical.padding import ExplicitPads, PadIntoConv
from qdeploy.lowering.canonical.parameter_rules import check_counts, check_parameters
from qdeploy.lowering.canonical.passes import Pass, initializers, run_passes
from qdeploy.lowering.canonical.qcdq import QuantizeLinearToQuant
from qdeploy.lowering.canonical.qonnx_functions import infer_shapes
from qdeploy.lowering.canonical.reading import read_file
from qdeploy.lowering.canonical.reshapes import (
    ConstantsBeforeQuantizers,
    ReshapeToFlatten,
    refuse_reshapes,
)
from qdeploy.lowering.canonical.resizes import ResizeByFactors
from qdeploy.lowering.canonical.window_rules import check_channels, check_quantizers, check_windows

NOTES_KEY = "qdeploy.notes"

# What a frame may not run through before it is done.
FIRST: tuple[Pass, ...] = (RemoveUnread(), FoldConstants())
PASSES: tuple[Pass, ...] = (
    RemoveUnread(),
    FoldConstants(),
    RemoveIdentities(),
    PlainSums(),
    CutHead(),
    RemoveUnread(),
    AnnotatedWeights(),
    ResizeByFactors(),
    OneRow(),
    QuantAveragePool(),
    ChannelsFirst(),
    QuantizeLinearToQuant(),
    ConstantsBeforeQuantizers(),
    BatchNormToAffine(),
    GemmToMatMul(),
    ReshapeToFlatten(),
    ExplicitPads(),
    PadIntoConv(),
)


def canonical(
    path: Path, *, probe: bool = True, raw: RawType | None = None, output: str | None = None
) -> ModelProto:
    """Read a file into canonical form with inferred shapes and a batch of one frame.

    Args:
        path: the file.
        probe: check each rewriting on a probe frame.
        raw: the integers that the input is made of, where the file does not say.
        output: the one of several outputs that is wanted.

    Raises:
        UserError: the file says that its input is made of others, or it has no such output.
        UnsupportedLayerError: the file holds no network, or one that cannot be lowered.
    """
    model, notes = read_file(path)
    if output is not None:
        notes += keep_output(model, output, path.name, str(path))
    float_input(model)
    if raw is not None:
        declare_type(model, raw)
    one_input(model, path.name, str(path))
    check_counts(model)
    check_windows(model)
    model = infer_shapes(model)
    check_channels(model)
    model = infer_shapes(run_passes(model, FIRST, probe=False).model)
    refuse_growth(model)
    check_shapes(model, path.name, str(path))
    check_parameters(model)
    result = run_passes(model, PASSES, probe=probe)
    model = infer_shapes(result.model)
    joined = join_outputs(model)
    check_quantizers(model)
    refuse_reshapes(model)
    _keep_notes(model, [*notes, *result.notes, *joined])
    return model


def import_qonnx(
    source: Path, target: Path, raw: RawType | None = None, output: str | None = None
) -> None:
    """Write the canonical form of `source` to `target`, atomically; the rest as of `canonical`."""
    model = canonical(source, raw=raw, output=output)
    with atomic_path(target) as temporary:
        onnx.save(model, temporary)


def notes_of(model: ModelProto) -> list[str]:
    """What a user should know of how the file was read; kept in the file's metadata."""
    stored = next((item.value for item in model.metadata_props if item.key == NOTES_KEY), "[]")
    try:
        found = json.loads(stored)
    except (ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _keep_notes(model: ModelProto, notes: list[str]) -> None:
    total = list(dict.fromkeys([*notes_of(model), *notes]))
    if not total:
        return
    for item in [item for item in model.metadata_props if item.key == NOTES_KEY]:
        model.metadata_props.remove(item)
    model.metadata_props.add(key=NOTES_KEY, value=json.dumps(total))


def one_input(model: ModelProto, name: str, where: str, *, most_outputs: int | None = None) -> None:
    """Check that a file has one input of fixed shape, and outputs; set its batch to one frame.

    Args:
        name, where: the file or the network, in messages.
        most_outputs: None for any number of outputs.

    Raises:
        UnsupportedLayerError: it has not.
    """
    constant = set(initializers(model))
    inputs = [item for item in model.graph.input if item.name not in constant]
    outputs = len(model.graph.output)
    if len(inputs) != 1 or not 1 <= outputs <= (most_outputs or outputs):
        raise UnsupportedLayerError(
            f"{name} has {len(inputs)} inputs and {outputs} outputs",
            where=where,
            expected="one input -> layers -> one output"
            + (" or several" if most_outputs is None else ""),
            why="a design has one stream of frames in and one stream of results out",
            do="export a network with exactly one input"
            + (" and an output" if most_outputs is None else " and one output"),
        )
    for item in [item for item in model.graph.input if item.name in constant]:
        model.graph.input.remove(item)
    item = model.graph.input[0]
    if any(item.name == output.name for output in model.graph.output):
        raise UnsupportedLayerError(
            f"an output of {name} is its input `{item.name}`",
            where=where,
            expected="one input -> layers -> one output",
            do="export a network with a layer",
        )
    dims = item.type.tensor_type.shape.dim
    if len(dims) < 2 or any(d.dim_value < 1 for d in list(dims)[1:]):
        raise UnsupportedLayerError(
            f"the input `{item.name}` of {name} has no fixed shape",
            where=where,
            expected="(N, C, H, W) or (N, features), with numbers after the batch axis",
            why="hardware is built for one size",
            do="export with fixed sizes after the batch axis",
        )
    for item in (*model.graph.input, *model.graph.output):
        dim = item.type.tensor_type.shape.dim
        if dim:
            dim[0].ClearField("dim_param")
            dim[0].dim_value = 1

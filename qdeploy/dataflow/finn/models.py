"""Copies of FINN's graph, and what FINN and qonnx do to a whole one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto

from qdeploy.bounded import read_some
from qdeploy.dataflow.finn.operators import operator_of, register
from qdeploy.errors import UserError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


MAX_BYTES = 1 << 30
DOMAINS = ("finn.custom_op.fpgadataflow", "finn.custom_op.fpgadataflow.rtl")
# Attributes by which FINN runs a program, or looks for one, in place of executing a node in Python.
_PROGRAMS = ("exec_mode", "executable_path", "rtlsim_so", "code_gen_dir")


def read_model(path: Path) -> ModelWrapper:
    """The hardware layers in a file of a build folder.

    Raises:
        UserError: the file cannot be read, or holds a node that is no hardware layer: a domain is
            the name of a package that would be imported, and some attributes name programs.
    """
    register()
    from qonnx.core.modelwrapper import ModelWrapper

    try:
        model = ModelProto.FromString(read_some(path, MAX_BYTES))
        for node in model.graph.node:
            _check_layer(node)
    except (OSError, ValueError, DecodeError) as error:
        raise UserError(
            f"the hardware layers `{path.name}` cannot be read",
            where=str(path),
            why=str(error) or type(error).__name__,
            do="run `qdeploy export` again",
        ) from error
    return ModelWrapper(model)


def _check_layer(node: NodeProto) -> None:
    if node.domain not in DOMAINS or operator_of(node.op_type) is None:
        raise ValueError(f"{node.op_type} of `{node.domain}` is no hardware layer")
    for item in node.attribute:
        if item.name.startswith(_PROGRAMS) and item.type == AttributeProto.STRING and item.s:
            raise ValueError(f"node `{node.name}` names a program in `{item.name}`")


def copy_of(model: ModelWrapper) -> ModelWrapper:
    """An independent copy."""
    from qonnx.core.modelwrapper import ModelWrapper

    return ModelWrapper(model.model, make_deepcopy=True)


def with_inferred_types(model: ModelWrapper) -> ModelWrapper:
    """A copy in which every tensor has the type that its operators say."""
    from qonnx.transformation.infer_datatypes import InferDataTypes

    return model.transform(InferDataTypes())


def with_width_converters(model: ModelWrapper) -> ModelWrapper:
    """A copy with FINN's width converters between layers of different widths, not yet specialized
    and without names."""
    from finn.transformation.fpgadataflow.insert_dwc import InsertDWC
    from qonnx.transformation.general import SortGraph

    return copy_of(model).transform(InsertDWC()).transform(SortGraph())

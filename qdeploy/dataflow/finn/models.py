"""Copies of FINN's graph, and what FINN and qonnx do to a whole one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.operators import register

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


def read_model(path: Path) -> ModelWrapper:
    """The hardware layers in a file of a build folder."""
    register()
    from qonnx.core.modelwrapper import ModelWrapper

    return ModelWrapper(str(path))


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

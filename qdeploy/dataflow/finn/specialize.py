"""Choose qdeploy's RTL backend for every hardware layer.

FINN's own SpecializeLayers decides by part and falls back to HLS for most of these layers; here
there is one answer: the backend registered as `<Operator>_qd_rtl`.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qdeploy.dataflow.finn import env as finn_env
from qdeploy.dataflow.finn.nodes import HARDWARE_DOMAIN, RTL_DOMAIN, SUFFIX, operator
from qdeploy.lowering.canonical.refusal import ACCEPTED, refuse_layer

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

_MODULES = (
    "addition",
    "argmax",
    "depthwise",
    "fork",
    "global_sum",
    "mvau",
    "padding",
    "pool",
    "streams",
    "thresholding",
    "window",
)


@functools.cache
def register() -> None:
    """Put qdeploy's backends into FINN's table of RTL operators."""
    finn_env.prepare()
    for name in _MODULES:
        importlib.import_module(f"qdeploy.dataflow.backends.{name}")


def specialize(model: ModelWrapper) -> ModelWrapper:
    """Turn every hardware layer into its RTL backend, in place; returns the model.

    Raises:
        UnsupportedLayerError: there is no backend for an operator.
    """
    register()
    from finn.custom_op.fpgadataflow import rtl

    for node in model.graph.node:
        if node.op_type.endswith(SUFFIX):
            continue
        target = f"{node.op_type}{SUFFIX}"
        if target not in rtl.custom_op:
            layer = str(node.doc_string).rpartition(".")[0] or node.name
            raise refuse_layer(
                layer,
                node.name,
                node.op_type,
                f"FINN's operator {node.op_type} has no RTL here",
                expected=f"one of {', '.join(sorted(_operators(rtl.custom_op)))}",
                why="each hardware layer is built from Verilog of this project",
                do=f"build the network from {ACCEPTED}",
            )
        node.op_type, node.domain = target, RTL_DOMAIN
    return model


def _operators(table: Iterable[str]) -> list[str]:
    return [operator(name) for name in table if name.endswith(SUFFIX)]


def despecialize(model: ModelWrapper) -> ModelWrapper:
    """A copy whose layers are FINN's own operators again, with the folding they have now."""
    from qonnx.core.modelwrapper import ModelWrapper

    plain = ModelWrapper(model.model, make_deepcopy=True)
    for node in plain.graph.node:
        node.op_type, node.domain = operator(node.op_type), HARDWARE_DOMAIN
    return plain

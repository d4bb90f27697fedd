"""What FINN's own models say that a hardware layer takes.

The figures are for FINN's own hardware of the same layers and foldings, RTL before HLS; there are
none for some operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from qdeploy.dataflow.finn.operators import operator_name
from qdeploy.observer import ignore

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper


@dataclass(frozen=True)
class Estimate:
    """Resources as both tools count them: LUTs, blocks of 36 kbit (halves too), DSP blocks."""

    lut: float
    bram36: float
    dsp: float


# What FINN's resource models break with.
_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def finn_estimates(
    model: ModelWrapper, part: str, note: Callable[[str], None] = ignore
) -> dict[str, Estimate | None]:
    """FINN's figures by node name, None where it has none; `note` is told why."""
    return {node.name: _finn(node, part, note) for node in model.graph.node}


def _finn(node: NodeProto, part: str, note: Callable[[str], None]) -> Estimate | None:
    """FINN's figures of its own operator in place of ours, RTL before HLS.

    FINN's models raise on operators and parts they do not know. There is no figure then, and a note
    says why: a build does not depend on it.
    """
    from onnx import NodeProto
    from qonnx.custom_op.registry import getCustomOp

    for kind in ("rtl", "hls"):
        finn_node = NodeProto()
        finn_node.CopyFrom(node)
        finn_node.op_type = f"{operator_name(node.op_type)}_{kind}"
        finn_node.domain = f"finn.custom_op.fpgadataflow.{kind}"
        known = getattr(import_module(finn_node.domain), "custom_op", {})
        if finn_node.op_type not in known or not _estimates(known[finn_node.op_type]):
            continue
        try:
            found = getCustomOp(finn_node).node_res_estimation(part)
        except _REFUSALS as error:
            note(f"note: no estimate of FINN for `{node.name}`: {type(error).__name__}: {error}")
            continue
        return Estimate(float(found["LUT"]), found["BRAM_18K"] / 2, float(found["DSP"]))
    return None


def _estimates(kind: type) -> bool:
    """Whether an operator says anything of its own; FINN's default is zero for everything."""
    from finn.custom_op.fpgadataflow.hwcustomop import HWCustomOp

    return kind.lut_estimation is not HWCustomOp.lut_estimation  # type: ignore[attr-defined]

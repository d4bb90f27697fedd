"""The one way to say that a layer cannot become hardware."""

from __future__ import annotations

from onnx import NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.names import layer_of


def refuse(
    node: NodeProto, found: str, *, why: str | None = None, do: str | None = None
) -> UnsupportedLayerError:
    """An error that names the layer and the node, what was found, why not, and what is accepted."""
    return UnsupportedLayerError(
        f"layer `{layer_of(node)}` cannot become hardware: {found}",
        where=f"node `{node.name or node.output[0]}` ({node.op_type})",
        why=why,
        do=do,
    )

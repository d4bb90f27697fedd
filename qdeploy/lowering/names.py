"""Names: from a node of an ONNX file to the layer a person knows.

The exporter names nodes after the modules they come from: `/body/body.0/weight_quant/…/Quant` is
part of module `body.0`. A child of a Sequential repeats its parent's name; the innards of Brevitas'
layers are of no interest to a reader.
"""

from __future__ import annotations

from collections.abc import Container

from onnx import NodeProto

INNARDS = frozenset(
    {
        "act_quant",
        "activation_impl",
        "bias_quant",
        "export_handler",
        "fused_activation_quant_proxy",
        "input_quant",
        "output_quant",
        "weight_quant",
    }
)


def layer_of(node: NodeProto) -> str:
    """The module path in dots, such as `body.conv1`; for other files the node's own name."""
    if not node.name.startswith("/"):
        return node.name or node.output[0]
    scopes = [part for part in node.name.split("/")[1:-1] if part not in INNARDS]
    path: list[str] = []
    for scope in scopes:
        if path and scope.startswith(path[-1] + "."):
            path[-1] = scope
        else:
            path.append(scope)
    return ".".join(path) or node.name.rsplit("/", 1)[1].lower()


def unique(name: str, taken: Container[str]) -> str:
    """`name`, or with the first free number behind it."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"

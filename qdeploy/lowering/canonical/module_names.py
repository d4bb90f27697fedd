"""Names: from a node of an ONNX file to the module of the network that it came from.

The exporter names nodes after the modules they come from: `/body/body.0/weight_quant/…/Quant` is
part of module `body.0`. A child of a Sequential repeats its parent's name; the innards of Brevitas'
layers are of no interest to a reader, nor are the numbers they get when a module is called again.

A module called more than once, such as the quantizer shared by both branches of a residual sum,
makes one tensor per call: `join.code`, `join.code_2`, …
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

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
INNARDS_CALL = re.compile(rf"({'|'.join(sorted(INNARDS))})(?:_(\d+))?")


def module_path(node: NodeProto) -> str:
    """The module path in dots, such as `body.conv1`; for other files the node's own name. Line
    breaks and other signs that cannot be shown become underscores."""
    return "".join(sign if sign.isprintable() else "_" for sign in _path(node))


def _path(node: NodeProto) -> str:
    if not node.name.startswith("/"):
        return node.name or node.output[0]
    scopes = [part for part in node.name.split("/")[1:-1] if not INNARDS_CALL.fullmatch(part)]
    return path_of(scopes) or node.name.rsplit("/", 1)[1].lower()


def scope_of(module: str) -> str:
    """What a module adds to a node's name: the last part of its own, with a list's name before a
    number, such as `blocks.0`."""
    parts = module.split(".")
    first = len(parts) - 1
    while first > 0 and parts[first].isdigit():
        first -= 1
    return ".".join(parts[first:])


def path_of(scopes: Iterable[str]) -> str:
    """The path in dots of nested scopes; a child of a Sequential takes its parent's place."""
    path: list[str] = []
    for scope in scopes:
        if path and scope.startswith(path[-1] + "."):
            path[-1] = scope
        else:
            path.append(scope)
    return ".".join(path)


def call_number(node: NodeProto) -> int:
    """Which call of its module a node came from, counted from 1.

    The exporter numbers the innards of the second call `…_1`. Nodes of other files are first calls.
    """
    scopes = node.name.split("/")[1:-1] if node.name.startswith("/") else []
    numbers = [INNARDS_CALL.fullmatch(scope) for scope in scopes]
    return 1 + max((int(found[2] or 0) for found in numbers if found), default=0)


def numbered(name: str, call: int) -> str:
    """The name of what the `call`-th call of a module made, counted from 1."""
    return name if call == 1 else f"{name}_{call}"


def call_of(name: str, stem: str) -> int:
    """The call that made a tensor named by `numbered(stem, call)`."""
    return 1 if name == stem else int(name.removeprefix(f"{stem}_"))


def unique(name: str, taken: Container[str]) -> str:
    """`name`, or with the first free number appended."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"

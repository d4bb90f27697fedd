"""Padding nodes: zeros around a map become padding of the convolutions that read it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.passes import Pass, PassResult, bypass, initializers
from qdeploy.lowering.canonical.refusal import refuse


class PadIntoConv(Pass):
    """Zeros around a feature map become padding of the convolutions that read it."""

    def requires(self, model: ModelProto) -> None:
        known = initializers(model)
        for node in model.graph.node:
            if node.op_type != "Pad":
                continue
            users = [user for user in model.graph.node if node.output[0] in user.input]
            if not users or any(user.op_type != "Conv" for user in users):
                raise refuse(
                    node,
                    "a padding that is not read by a convolution",
                    do="pad before Conv2d, or use its own padding",
                )
            value = _pad_value(node, known)
            if value != 0:
                raise refuse(
                    node,
                    f"a padding with {value}" if isinstance(value, str) else f"padding {value:g}",
                    why="the padding unit inserts code 0, which means 0",
                    do="pad with zeros",
                )
            if _pad_sizes(node, known) is None:
                raise refuse(
                    node,
                    "a padding outside the map's two axes, or a crop",
                    do="pad height and width only: ZeroPad2d, or the convolution's own padding",
                )

    def call(self, model: ModelProto) -> PassResult:
        found = [n for n in model.graph.node if n.op_type == "Pad"]
        for node in found:
            sizes = _pad_sizes(node, initializers(model)) or (0, 0, 0, 0)
            for user in model.graph.node:
                if node.output[0] in user.input:
                    own = next((a for a in user.attribute if a.name == "pads"), None)
                    before = list(own.ints) if own is not None else [0, 0, 0, 0]
                    if own is not None:
                        user.attribute.remove(own)
                    total = [a + b for a, b in zip(before, sizes, strict=True)]
                    user.attribute.append(helper.make_attribute("pads", total))
            bypass(model, node)
        return PassResult(model, bool(found))


def _pad_value(node: NodeProto, known: dict[str, np.ndarray]) -> float | str:
    """The constant that a Pad inserts; its mode where it inserts none."""
    modes = [a.s.decode() for a in node.attribute if a.name == "mode"]
    if modes and modes[0] != "constant":
        return f"mode {modes[0]}"
    if len(node.input) < 3 or not node.input[2]:
        return 0.0
    value = known.get(node.input[2])
    return "a value computed at run time" if value is None else float(value.reshape(-1)[0])


def _pad_sizes(node: NodeProto, known: dict[str, np.ndarray]) -> tuple[int, int, int, int] | None:
    """(top, left, bottom, right) of a Pad of (N, C, H, W), None where it pads something else."""
    sizes = known.get(node.input[1]) if len(node.input) > 1 else None
    if sizes is None or sizes.size != 8 or (sizes < 0).any() or len(node.input) > 3:
        return None
    n, c, top, left, n_end, c_end, bottom, right = (int(v) for v in sizes)
    return None if n or c or n_end or c_end else (top, left, bottom, right)

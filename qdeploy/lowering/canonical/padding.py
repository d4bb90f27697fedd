"""Padding: as numbers of the window that reads the padded map.

Pad with zeros, then Conv            -> Conv with more padding
auto_pad SAME_UPPER, SAME_LOWER      -> pads
ceil_mode of a max-pool               -> pads at the end
"""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.edit import Edit, attribute, integers, text_attribute
from qdeploy.lowering.canonical.passes import Pass, PassResult
from qdeploy.lowering.canonical.refusal import refuse


class PadIntoConv(Pass):
    """Zeros around a feature map become padding of the convolutions that read it."""

    def requires(self, model: ModelProto) -> None:
        edit = Edit(model)
        for node in edit.of_kind("Pad"):
            sizes = _pad_sizes(edit, node)
            if sizes is not None and not any(sizes):
                continue
            users = edit.readers(node.output[0])
            if not users or any(user.op_type != "Conv" for user in users):
                raise refuse(
                    node,
                    "a padding that is not read by a convolution",
                    do="pad before Conv2d, or use its own padding",
                )
            value = _pad_value(edit, node)
            if value != 0:
                raise refuse(
                    node,
                    f"a padding with {value}" if isinstance(value, str) else f"padding {value:g}",
                    why="the padding unit inserts code 0, which means 0",
                    do="pad with zeros",
                )
            if sizes is None:
                raise refuse(
                    node,
                    "a padding outside the map's two axes, or a crop",
                    do="pad height and width only: ZeroPad2d, or the convolution's own padding",
                )

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        for node in edit.of_kind("Pad"):
            sizes = _pad_sizes(edit, node) or ()
            if any(sizes):
                for user in edit.readers(node.output[0]):
                    own = next((a for a in user.attribute if a.name == "pads"), None)
                    before = list(own.ints) if own is not None else [0] * len(sizes)
                    if own is not None:
                        user.attribute.remove(own)
                    total = [a + b for a, b in zip(before, sizes, strict=True)]
                    user.attribute.append(helper.make_attribute("pads", total))
            edit.bypass(node)
        return PassResult(model, edit.apply())


class ExplicitPads(Pass):
    """Paddings that a window names by a rule (SAME, VALID, ceil_mode) become numbers."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        modified = False
        for node in edit.of_kind("MaxPool"):
            if attribute(node, "ceil_mode", 0):
                modified |= _without_ceil_mode(edit, node)
        for node in edit.of_kind("Conv", "MaxPool", "AveragePool"):
            kind = text_attribute(node, "auto_pad", "NOTSET")
            if kind == "NOTSET":
                continue
            pads = _same_pads(edit, node, kind) if kind.startswith("SAME") else []
            if pads is None:
                continue
            for item in [item for item in node.attribute if item.name in ("auto_pad", "pads")]:
                node.attribute.remove(item)
            if any(pads):
                node.attribute.append(helper.make_attribute("pads", pads))
            modified = True
        return PassResult(model, modified)


def _without_ceil_mode(edit: Edit, node: NodeProto) -> bool:
    """Write the windows that ceil_mode adds as padding at the end; whether their number is known.

    A max-pool ignores what lies outside, as it ignores padding. Averages do not: see
    `integers/windows.py`.
    """
    if text_attribute(node, "auto_pad", "NOTSET").startswith("SAME"):
        node.attribute.remove(next(a for a in node.attribute if a.name == "ceil_mode"))
        return True  # The number of windows is that of the stride alone.
    before, after = edit.shape(node.input[0])[2:], edit.shape(node.output[0])[2:]
    kernel = attribute(node, "kernel_shape", [])
    count = len(kernel)
    if not count or not len(before) == len(after) == count or min(*before, *after) < 1:
        return False
    ones = [1] * count
    strides, dilations = (attribute(node, key, ones) for key in ("strides", "dilations"))
    pads = list(attribute(node, "pads", [0] * (2 * count)))
    for axis in range(count):
        reach = (after[axis] - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
        beyond = reach - before[axis] - pads[axis] - pads[axis + count]
        pads[axis + count] += max(beyond, 0)
    for item in [item for item in node.attribute if item.name in ("ceil_mode", "pads")]:
        node.attribute.remove(item)
    if any(pads):
        node.attribute.append(helper.make_attribute("pads", pads))
    return True


def _pad_value(edit: Edit, node: NodeProto) -> float | str:
    """The constant that a Pad inserts; its mode where it inserts none."""
    mode = text_attribute(node, "mode", "constant")
    if mode != "constant":
        return f"mode {mode}"
    if len(node.input) < 3 or not node.input[2]:
        return 0.0
    value = edit.constant(node.input[2])
    return "a value computed at run time" if value is None else float(value.reshape(-1)[0])


def _pad_sizes(edit: Edit, node: NodeProto) -> tuple[int, ...] | None:
    """Begins, then ends, of a Pad along a map's own axes; None where it pads something else."""
    rank = len(edit.shape(node.input[0]))
    sizes = integers(edit, node, "pads", 1)
    if sizes is None or min(sizes, default=0) < 0:
        return None
    places = list(range(rank))
    if len(node.input) > 3 and node.input[3]:
        axes = edit.constant(node.input[3])
        if axes is None or not rank:
            return None
        places = [int(axis) % rank for axis in axes.reshape(-1)]
    if len(sizes) != 2 * len(places) or rank < 3:
        return None
    around = [0] * (2 * rank)
    for index, axis in enumerate(places):
        around[axis], around[axis + rank] = sizes[index], sizes[index + len(places)]
    begins, ends = around[:rank], around[rank:]
    return None if any((*begins[:2], *ends[:2])) else (*begins[2:], *ends[2:])


def _same_pads(edit: Edit, node: NodeProto, kind: str) -> list[int] | None:
    """The pads that keep ceil(size / stride) windows; None where the sizes are not known."""
    sizes = edit.shape(node.input[0])[2:]
    kernel = attribute(node, "kernel_shape") or edit.shape(node.input[1])[2:]
    if not sizes or len(sizes) != len(kernel) or min(sizes) < 1:
        return None
    ones = [1] * len(kernel)
    strides, dilations = (attribute(node, key, ones) for key in ("strides", "dilations"))
    begins, ends = [], []
    for size, taps, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // stride) - 1) * stride + dilation * (taps - 1) + 1 - size)
        small, large = total // 2, total - total // 2
        begins.append(small if kind == "SAME_UPPER" else large)
        ends.append(large if kind == "SAME_UPPER" else small)
    return [*begins, *ends]

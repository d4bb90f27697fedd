"""Nodes that no file may have, refused by name: windows, channels, quantizers.

ONNX's own checker lets a stride of 0 pass, and its shape inference divides by it: the process ends.
It lets groups pass that do not divide the channels, and the executor fails on them.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, NodeProto, helper

from qdeploy.lowering.canonical.edit import Edit
from qdeploy.lowering.canonical.refusal import refuse

_LEAST = {"kernel_shape": 1, "strides": 1, "dilations": 1, "group": 1, "pads": 0}
_LEAST |= {"output_padding": 0, "output_shape": 1}
_WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
# What quantizes weights, or passes them on, with the axes that they have.
_SAME_AXES = ("Quant", "IntQuant", "BipolarQuant", "DequantizeLinear", "QuantizeLinear", "Identity")
_WEIGHT_AXES = (3, 4)


def check_windows(model: ModelProto) -> None:
    """Check kernels, strides, dilations, groups and paddings of a file.

    Raises:
        UnsupportedLayerError: names the first node with one below its least value, or whose weights
            have no known axes.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    axes = {item.name: len(item.dims) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in _WINDOWED:
            continue
        if node.op_type == "ConvTranspose":
            _check_transposed(node, makers, axes)
        for attribute in node.attribute:
            if attribute.name not in _LEAST:
                continue
            value, least = helper.get_attribute_value(attribute), _LEAST[attribute.name]
            values = value if isinstance(value, list) else [value]
            if min(values, default=least) < least:
                raise refuse(
                    node,
                    f"it has {attribute.name} {', '.join(str(v) for v in values)}",
                    why=f"each number has to be at least {least}",
                    do="use positive kernels, strides and dilations, and no negative padding",
                )


def _check_transposed(
    node: NodeProto, makers: Mapping[str, NodeProto], axes: Mapping[str, int]
) -> None:
    """ONNX's shape inference of a ConvTranspose reads past the end of weights of too few axes, and
    of numbers for too few axes: the process ends."""
    name, seen = node.input[1] if len(node.input) > 1 else "", set[str]()
    while name in makers and makers[name].op_type in _SAME_AXES and name not in seen:
        seen.add(name)
        name = makers[name].input[0]
    found = axes.get(name)
    if found is None and name in makers and makers[name].op_type == "Constant":
        found = next((len(a.t.dims) for a in makers[name].attribute if a.name == "value"), None)
    kernel = next((len(a.ints) for a in node.attribute if a.name == "kernel_shape"), 0)
    if found not in _WEIGHT_AXES or kernel != found - 2:
        raise refuse(
            node,
            "its weights are no constant behind quantizers, or its kernel_shape is not theirs",
            why="shapes are only inferred of transposed convolutions whose weights are known",
            do="export ConvTranspose2d with constant weights, quantized, and kernel_shape",
        )


def check_quantizers(model: ModelProto) -> None:
    """Check that scale, zero point and width of every quantizer are constants.

    Raises:
        UnsupportedLayerError: names the first quantizer that computes one.
    """
    edit = Edit(model)
    for node in edit.of_kind("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold"):
        if not all(edit.is_constant(name) for name in node.input[1:] if name):
            raise refuse(
                node,
                "its thresholds are computed at run time"
                if node.op_type == "MultiThreshold"
                else "its scale, zero point or width is computed at run time",
                why="thresholds are computed once, before the hardware is built",
                do="export the network in evaluation mode, with constants instead",
            )


def check_channels(model: ModelProto) -> None:
    """Check that each convolution's weights take the channels it gets, in groups of one size.

    Raises:
        UnsupportedLayerError: names the first that does not.
    """
    edit = Edit(model)
    padded = {node.output[0] for node in edit.of_kind("Pad")}
    for node in edit.nodes:
        if node.op_type != "Conv" or node.input[0] in padded:  # Pads have rules of their own.
            continue
        source, weights = edit.shape(node.input[0]), edit.shape(node.input[1])
        if len(source) != len(weights) or len(source) not in (3, 4) or min(source) < 1:
            continue  # Not known, or of three dimensions: the lowering says which.
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        if weights[1] * groups != source[1] or weights[0] % groups:
            raise refuse(
                node,
                f"a convolution of {source[1:]} with weights {weights} in {groups} "
                f"group{'s' if groups > 1 else ''}",
                do="give it (channels, height, width) with the channels its weights take, in "
                "groups of one size",
            )

"""QONNX's operators as functions of ONNX's own operators.

With them attached, ONNX's shape inference and onnxruntime take a whole file at once, in time that
grows with the file, where qonnx looks at one node after the other. They say what the QONNX
specification says, in float32. What a file means is judged by the official executor
(`executor.py`); these functions check rewritings and find shapes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from onnx import FunctionProto, ModelProto, NodeProto, helper, parser, shape_inference

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.bounds import MICROSOFT_DOMAIN, QONNX_DOMAIN
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.refusal import refuse

# Rounding of `c` to `r`; those that look at the sign are symmetric around 0.
ROUNDINGS: Mapping[str, str] = {
    "ROUND": "r = Round(c)",
    "HALF_EVEN": "r = Round(c)",
    "CEIL": "r = Ceil(c)",
    "FLOOR": "r = Floor(c)",
    "UP": "sg = Sign(c)\n ab = Abs(c)\n up = Ceil(ab)\n r = Mul(sg, up)",
    "DOWN": "sg = Sign(c)\n ab = Abs(c)\n dn = Floor(ab)\n r = Mul(sg, dn)",
    "ROUND_TO_ZERO": "sg = Sign(c)\n ab = Abs(c)\n dn = Floor(ab)\n r = Mul(sg, dn)",
    "HALF_UP": "sg = Sign(c)\n ab = Abs(c)\n hf = Constant <value = float {0.5}> ()\n"
    " ah = Add(ab, hf)\n fl = Floor(ah)\n r = Mul(sg, fl)",
    "HALF_DOWN": "sg = Sign(c)\n ab = Abs(c)\n hf = Constant <value = float {0.5}> ()\n"
    " ah = Sub(ab, hf)\n fl = Ceil(ah)\n r = Mul(sg, fl)",
}
# Attributes of QONNX's operators: least and most.
_RANGES = {
    **dict.fromkeys(("signed", "narrow"), (0, 1)),
    **dict.fromkeys(("kernel", "stride"), (1, 1 << 16)),
    **dict.fromkeys(("ibits", "obits"), (1, 32)),
}
# They leave the shape of their first input.
ELEMENTWISE = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")
# Constants of more elements are left out where only shapes are wanted.
_SMALL = 1024
_NUMBERS = """
 one = Constant <value = float {1.0}> ()
 two = Constant <value = float {2.0}> ()
"""
# The lowest and the highest code of `bits`.
_SIGNED = """ b1 = Sub(bits, one)
 half = Pow(two, b1)
 nh = Neg(half)
 nar = Constant <value = float {{{narrow}}}> ()
 lo = Add(nh, nar)
 hi = Sub(half, one)
"""
# The smallest normal float32, which functions can hold.
_TINY = float(np.finfo(np.float32).tiny)
_UNSIGNED = """ full = Pow(two, bits)
 f1 = Sub(full, one)
 nar = Constant <value = float {{{narrow}}}> ()
 hi = Sub(f1, nar)
 lo = Sub(one, one)
"""
# Parameters may be constants of any numeric type.
_CAST = "".join(f" {name} = Cast <to = 1> ({name}0)\n" for name in ("scale", "zero", "bits"))
_CLIP = " m = Min(z, hi)\n c = Max(m, lo)\n"
_SIGN_OF = """ zz = Sub(one, one)
 pos = GreaterOrEqual({of}, zz)
 neg1 = Neg(one)
 sgn = Where(pos, one, neg1)
"""


def with_functions(model: ModelProto, *, ranks: Mapping[str, int] | None = None) -> ModelProto:
    """A copy of the model whose QONNX nodes are calls of functions that the copy defines.

    Args:
        ranks: of every tensor, for a copy that computes; None for one whose shapes are inferred,
            where an elementwise function is the identity.

    Raises:
        UnsupportedLayerError: an attribute no function is known for.
    """
    result = copy.deepcopy(model)
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 1)
    made: dict[str, FunctionProto] = {}
    for node in result.graph.node:
        if node.domain == MICROSOFT_DOMAIN and ranks is None:
            name, body = _codes(node)
        elif node.domain == QONNX_DOMAIN:
            name, body = _body(node, ranks)
        else:
            continue
        if body is None:
            continue
        if name not in made:
            made[name] = parser.parse_function(
                f'<opset_import: ["" : {opset}], domain: "{node.domain}">\n{name} {body}'
            )
        node.op_type = name
        del node.attribute[:]
    result.functions.extend(made.values())
    return result


def infer_shapes(model: ModelProto) -> ModelProto:
    """The model, its tensors' shapes inferred anew in place, as far as they can be known.

    Raises:
        UnsupportedLayerError: shapes contradict each other.
    """
    light = with_functions(_without_large_constants(model))
    try:
        inferred = shape_inference.infer_shapes(light, data_prop=True)
    except shape_inference.InferenceError as error:
        raise UnsupportedLayerError(
            "the shapes of the file's tensors cannot be computed",
            why=" ".join(str(error).split())[:300],
            do="export the network again, for fixed sizes after the batch axis",
        ) from error
    known = {item.name for item in (*model.graph.input, *model.graph.output)}
    known |= {item.name for item in model.graph.initializer}
    del model.graph.value_info[:]
    model.graph.value_info.extend(i for i in inferred.graph.value_info if i.name not in known)
    for mine, found in zip(model.graph.output, inferred.graph.output, strict=True):
        mine.CopyFrom(found)
    return model


# The executor's guess at the axes of a MultiThreshold's tensor where the node names none, by rank.
_LAYOUTS = {2: "NC", 3: "NWC", 4: "NCHW"}


def threshold_axis(node: NodeProto, rank: int) -> int:
    """The axis of a MultiThreshold's channels, in a tensor of some rank."""
    given = attributes_of(node).get("data_layout", b"").decode(errors="replace")
    layout = given or _LAYOUTS.get(rank, "NC")
    return layout.index("C") if "C" in layout else 1


def _without_large_constants(model: ModelProto) -> ModelProto:
    """A copy whose large constants are inputs: shapes do not depend on weights."""
    light = ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    graph = light.graph
    graph.name = model.graph.name or "network"
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    for item in model.graph.output:
        # A shape that the file claims may be that of another batch.
        graph.output.append(
            helper.make_tensor_value_info(item.name, item.type.tensor_type.elem_type, None)
        )
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return light


def _codes(node: NodeProto) -> tuple[str, str | None]:
    """What QuantizeLinear and DequantizeLinear of onnxruntime's own domain are to shapes."""
    inputs = ", ".join(f"i{place}" for place in range(len(node.input)))
    return (
        f"{node.op_type}_{len(node.input)}",
        f"({inputs}) => (y) {{\n y = Cast <to = 1> (i0)\n}}",
    )


def _body(node: NodeProto, ranks: Mapping[str, int] | None) -> tuple[str, str | None]:
    """Name and text of a node's function; no text where the operator is not known here."""
    kind, given = node.op_type, attributes_of(node)
    for attribute, (least, most) in _RANGES.items():
        value = given.get(attribute, least)
        if not isinstance(value, int) or not least <= value <= most:
            raise refuse(
                node,
                f"its {attribute} is {value!r:.40}",
                why=f"it is an integer from {least} to {most}",
                do="export the network again",
            )
    for attribute in ("out_scale", "out_bias"):
        size = abs(float(given.get(attribute, 0)))
        if size and not _TINY <= size < np.inf:
            raise refuse(
                node,
                f"its {attribute} is {given[attribute]:g}",
                why="it is a normal float32 number",
                do="train or calibrate the network again",
            )
    if kind == "QuantAvgPool2d":
        return _average_pool(given)
    if kind not in ELEMENTWISE:
        return kind, None
    arguments = ", ".join(f"a{k}" for k in range(1, len(node.input)))
    if ranks is None:
        return f"{kind}_{len(node.input)}", f"(x, {arguments}) => (y) {{\n y = Identity(x)\n}}"
    if kind == "BipolarQuant":
        sign = _SIGN_OF.format(of="x")
        return kind, f"(x, scale) => (y) {{{_NUMBERS}{sign} y = Mul(sgn, scale)\n}}"
    if kind == "MultiThreshold":
        return _levels(node, given, ranks)
    rounding = given.get("rounding_mode", b"FLOOR" if kind == "Trunc" else b"ROUND")
    mode = rounding.decode(errors="replace").upper()
    if mode not in ROUNDINGS:
        raise refuse(
            node,
            f"it rounds by {mode[:40]}",
            why=f"known are {', '.join(ROUNDINGS)}",
            do="use rounding_mode ROUND",
        )
    signed, narrow = int(given.get("signed", 1)), int(given.get("narrow", 0))
    name = f"{kind}_{len(node.input)}_{signed}{narrow}_{mode}"
    if kind == "Trunc":
        return name, _trunc(node, signed, narrow, ROUNDINGS[mode])
    limits = (_SIGNED if signed else _UNSIGNED).format(narrow=float(narrow))
    steps = ["(x, scale0, zero0, bits0) => (y) {", _CAST, _NUMBERS, limits]
    steps += [" s = Div(x, scale)\n z = Add(s, zero)\n", _CLIP, f" {ROUNDINGS[mode]}\n"]
    if signed:
        steps += [_SIGN_OF.format(of="z"), " bit = Equal(bits, one)\n code = Where(bit, sgn, r)\n"]
    else:
        steps.append(" code = Identity(r)\n")
    return name, "".join([*steps, " d = Sub(code, zero)\n y = Mul(d, scale)\n}"])


def _average_pool(given: Mapping[str, Any]) -> tuple[str, str | None]:
    """Sums of a window, shifted to the width of the output."""
    kernel, stride = int(given.get("kernel", 1)), int(given.get("stride", 1))
    if given.get("data_layout", b"NCHW") != b"NCHW":
        return "QuantAvgPool2d", None
    widest = ((1 << int(given.get("ibits", 1))) - 1) * kernel * kernel
    shift = max(widest.bit_length() - int(given.get("obits", 1)), 0)
    return f"QuantAvgPool2d_{kernel}_{stride}_{shift}", (
        "(x) => (y) {\n"
        f" mean = AveragePool <kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}]>"
        " (x)\n"
        f" pixels = Constant <value = float {{{kernel * kernel}.0}}> ()\n"
        f" share = Constant <value = float {{{1 << shift}.0}}> ()\n"
        " exact = Mul(mean, pixels)\n sum = Round(exact)\n part = Div(sum, share)\n"
        " y = Floor(part)\n}"
    )


def _levels(
    node: NodeProto, given: Mapping[str, Any], ranks: Mapping[str, int]
) -> tuple[str, str | None]:
    """The number of thresholds (C, levels) that an element reaches, times scale, plus bias."""
    rank = ranks.get(node.input[0], 0)
    axis = threshold_axis(node, rank)
    last = axis == rank - 1
    if not last and axis != 1:
        raise refuse(
            node,
            f"its channels are on axis {axis} of {rank}",
            do="use data_layout NCHW or NHWC",
        )
    scale, bias = float(given.get("out_scale", 1.0)), float(given.get("out_bias", 0.0))
    axes = ", ".join(str(place) for place in range(1, rank - 1))
    spread = "at = Identity(rows)"
    if not last:
        spread = (
            f"ax = Constant <value = int64[{rank - 2}] {{{axes}}}> ()\n at = Unsqueeze(rows, ax)"
        )
    numbers = np.array([scale, bias], np.float64).tobytes().hex()
    return f"MultiThreshold_{rank}_{int(last)}_{numbers}", (
        "(x, levels) => (y) {\n end = Constant <value = int64[1] {-1}> ()\n"
        f" rows = Cast <to = 1> (levels)\n wide = Unsqueeze(x, end)\n {spread}\n"
        " met = GreaterOrEqual(wide, at)\n"
        " ones = Cast <to = 1> (met)\n count = ReduceSum <keepdims = 0> (ones, end)\n"
        f" scale = Constant <value = float {{{scale!r}}}> ()\n"
        f" bias = Constant <value = float {{{bias!r}}}> ()\n"
        " scaled = Mul(count, scale)\n y = Add(scaled, bias)\n}"
    )


def _trunc(node: NodeProto, signed: int, narrow: int, rounding: str) -> str:
    """QONNX's Trunc: version 1 has five inputs, version 2 six."""
    start = " s = Div(x, scale)\n z0 = Add(s, zero)\n n = Round(z0)\n"
    if len(node.input) == 5:
        return (
            f"(x, scale, zero, wide, bits) => (y) {{{_NUMBERS}{start}"
            " less = Sub(wide, bits)\n by = Pow(two, less)\n c = Div(n, by)\n"
            f" {rounding}\n d = Sub(r, zero)\n y = Mul(d, scale)\n}}"
        )
    limits = (_SIGNED if signed else _UNSIGNED).format(narrow=float(narrow))
    return (
        f"(x, scale, zero, wide, out, bits) => (y) {{{_NUMBERS}{limits}{start}"
        " ratio = Div(out, scale)\n ln = Log(ratio)\n ln2 = Log(two)\n lg = Div(ln, ln2)\n"
        f" whole = Round(lg)\n by = Pow(two, whole)\n z = Div(n, by)\n{_CLIP}"
        f" {rounding}\n oz = Div(zero, by)\n d = Sub(r, oz)\n y = Mul(d, out)\n}}"
    )

"""Damage to what a file says instead of to its bytes: the file still parses, and its values are
other ones, missing, moved, or of another type."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import yaml
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto

INTEGERS = (0, 1, -1, 2, 3, 17, 255, 65_536, 1 << 31, (1 << 31) - 1, 1 << 40, (1 << 63) - 1)
VALUES = (
    *INTEGERS,
    *(-(1 << 63), 1 << 64, 10**30, 0.0, -0.0, 0.5, -1.5, 1e-300, 1e300, True, False, None),
    *("", "x", "x" * 300, "..", "/", "../../x", "a b", "a\nb", "a\x00b", "[/x]", "-x", "$(x)"),
    *("1/0", "0/1", "-3/7", "{{7*7}}", "<b>", '"; x', "\u2028", "\x1b[31m", "99999999999999999999"),
    *([], {}, [[]], [0], [None], {"x": 1}, [1, 2, 3, 4, 5], [-1]),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.3, 1e-45, 1e-30, 1e30, 3.4e38, float("inf"), float("nan"))
OPERATORS = (
    *("Quant", "BipolarQuant", "Trunc", "Relu", "Conv", "MatMul", "Gemm", "Add", "Mul", "Div"),
    *("Flatten", "Reshape", "Transpose", "MaxPool", "AveragePool", "GlobalAveragePool", "TopK"),
    *("BatchNormalization", "Concat", "Pad", "Softmax", "ArgMax", "Identity", "Cast", "Shape"),
    *("Gather", "Slice", "Expand", "Range", "ConstantOfShape", "Resize", "Einsum", "Dropout"),
    *("MultiThreshold", "ConvTranspose", "Squeeze", "Unsqueeze", "Clip", "Nonsense", ""),
)

Change = Callable[[bytes, random.Random], bytes]


def json_changed(data: bytes, draw: random.Random) -> bytes:
    """One to three values of JSON changed."""
    return json.dumps(_changed(json.loads(data), draw)).encode()


def lines_changed(data: bytes, draw: random.Random) -> bytes:
    """Values of one of a file's lines of JSON changed."""
    lines = data.splitlines()
    at = draw.randrange(len(lines))
    lines[at] = json_changed(lines[at], draw)
    return b"\n".join(lines) + b"\n"


def yaml_changed(data: bytes, draw: random.Random) -> bytes:
    """One to three values of YAML changed."""
    return yaml.safe_dump(_changed(yaml.safe_load(data), draw), allow_unicode=True).encode(
        "utf-8", "surrogatepass"
    )


def header_changed(data: bytes, draw: random.Random) -> bytes:
    """Values in the header of a safetensors file changed; its length is made right."""
    size = int.from_bytes(data[:8], "little")
    head, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    inner = head.get("__metadata__", {})
    name = draw.choice([name for name in inner if inner[name].startswith("{")] or [""])
    if name and draw.random() < 0.7:  # JSON inside a text of the header
        inner[name] = json.dumps(_changed(json.loads(inner[name]), draw))
    else:
        head = _changed(head, draw)
    made = json.dumps(head).encode()
    return len(made).to_bytes(8, "little") + made + rest


def _changed(tree: Any, draw: random.Random) -> Any:
    holder = [tree]
    for _ in range(draw.randint(1, 3)):
        places = list(_places(holder))
        parent, key = draw.choice(places[1:] or places)
        kind = draw.randrange(6)
        if kind == 0:
            del parent[key]
        elif kind == 1:
            other, at = draw.choice(places)
            parent[key] = copy.deepcopy(other[at])
        elif kind == 2 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif kind == 3 and isinstance(parent, dict):
            parent[str(draw.choice(VALUES))] = parent.pop(key)
        else:
            parent[key] = copy.deepcopy(draw.choice(VALUES))
        if not holder:
            return None
    return holder[0]


def _places(tree: Any) -> Any:
    """(container, key) of every value, containers before what is in them."""
    keys = tree if isinstance(tree, dict) else range(len(tree))
    for key in list(keys):
        yield tree, key
        if isinstance(tree[key], (dict, list)):
            yield from _places(tree[key])


def onnx_changed(data: bytes, draw: random.Random) -> bytes:
    """One to three changes to the nodes, attributes, constants or shapes of a model."""
    model = ModelProto.FromString(data)
    for _ in range(draw.randint(1, 3)):
        draw.choice((_node, _node, _attribute, _attribute, _constant, _constant, _shape, _version))(
            model, draw
        )
    return bytes(model.SerializeToString())


def _node(model: ModelProto, draw: random.Random) -> None:
    nodes = model.graph.node
    if not nodes:
        return
    at = draw.randrange(len(nodes))
    node, kind = nodes[at], draw.randrange(8)
    names = [name for one in nodes for name in (*one.input, *one.output)]
    names += [tensor.name for tensor in model.graph.initializer]
    if kind == 0:
        node.op_type = draw.choice(OPERATORS)
    elif kind == 1 and node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice((*names, ""))
    elif kind == 2 and node.input:
        del node.input[draw.randrange(len(node.input))]
    elif kind == 3:
        node.input.append(draw.choice(names))
    elif kind == 4:
        del nodes[at]
    elif kind == 5:
        nodes.insert(draw.randrange(len(nodes)), node)
    elif kind == 6:
        _added(model, draw, names)
    elif node.output:
        node.output[draw.randrange(len(node.output))] = draw.choice((*names, ""))


def _added(model: ModelProto, draw: random.Random, names: list[str]) -> None:
    """A node in front of what reads its input so far."""
    name = draw.choice(names)
    made = NodeProto(op_type=draw.choice(OPERATORS), name="added", output=["added"])
    made.input.extend([name, *draw.sample(names, draw.randrange(3))])
    at = 0
    for index, node in enumerate(model.graph.node):
        at = index + 1 if name in node.output else at
        node.input[:] = ["added" if one == name else one for one in node.input]
    model.graph.node.insert(at, made)


def _attribute(model: ModelProto, draw: random.Random) -> None:
    found = [(node, index) for node in model.graph.node for index in range(len(node.attribute))]
    if not found:
        return
    node, index = draw.choice(found)
    item, kind = node.attribute[index], draw.randrange(6)
    if kind == 0:
        del node.attribute[index]
    elif kind == 1:
        item.name = draw.choice(("pads", "strides", "kernel_shape", "axis", "group", "perm", "x"))
    elif kind == 2:
        item.type = draw.choice((AttributeProto.INT, AttributeProto.INTS, AttributeProto.STRING))
    elif item.ints:
        if kind == 3:
            item.ints.append(draw.choice(INTEGERS))
        item.ints[draw.randrange(len(item.ints))] = _integer(draw)
    elif item.type == AttributeProto.INT:
        item.i = _integer(draw)
    elif item.type == AttributeProto.FLOAT:
        item.f = draw.choice(FLOATS)
    elif item.type == AttributeProto.STRING:
        item.s = draw.choice((b"", b"SAME_UPPER", b"FLOOR", b"NHWC", b"\xff", b"x" * 300))


def _constant(model: ModelProto, draw: random.Random) -> None:
    if not model.graph.initializer:
        return
    tensor, kind = draw.choice(model.graph.initializer), draw.randrange(6)
    if kind == 0:
        tensor.data_type = draw.randrange(24)
    elif kind == 1 and tensor.dims:
        tensor.dims[draw.randrange(len(tensor.dims))] = _integer(draw)
    elif kind == 2:
        tensor.dims.insert(0, 1)
    elif kind == 3 and len(tensor.dims) > 1:
        tensor.dims[:] = draw.sample(list(tensor.dims), len(tensor.dims))
    elif kind == 4:
        model.graph.initializer.remove(tensor)
    elif tensor.raw_data:
        data = bytearray(tensor.raw_data)
        value = TensorProto(float_data=[draw.choice(FLOATS)]).SerializeToString()[-4:]
        at = 4 * draw.randrange(max(len(data) // 4, 1))
        data[at : at + 4] = value[: len(data[at : at + 4])]
        tensor.raw_data = bytes(data)
    elif tensor.float_data:
        tensor.float_data[draw.randrange(len(tensor.float_data))] = draw.choice(FLOATS)


def _shape(model: ModelProto, draw: random.Random) -> None:
    graph = model.graph
    items = [*graph.input, *graph.output, *graph.value_info]
    if not items:
        return
    kind = draw.choice(items).type.tensor_type
    sizes = kind.shape.dim
    if draw.random() < 0.2:
        kind.elem_type = draw.randrange(24)
    elif not sizes or draw.random() < 0.2:
        sizes.add().dim_value = _integer(draw)
    elif draw.random() < 0.2:
        sizes[draw.randrange(len(sizes))].dim_param = "N"
    else:
        sizes[draw.randrange(len(sizes))].dim_value = _integer(draw)


def _version(model: ModelProto, draw: random.Random) -> None:
    if model.opset_import and draw.random() < 0.7:
        draw.choice(model.opset_import).version = _integer(draw)
    else:
        model.ir_version = _integer(draw)


def _integer(draw: random.Random) -> int:
    return draw.choice(INTEGERS) * draw.choice((1, 1, 1, -1))

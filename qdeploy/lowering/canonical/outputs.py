"""Several outputs of a file: one of them, or all as one, their channels one after the other.

A design has one stream of results. Outputs of one size go into it channel by channel, each with the
gains and offsets of its own; what reads the results takes them apart again (`ir/head.py`). Which
channels are whose is kept in the file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from onnx import ModelProto, ValueInfoProto, helper

from qdeploy.errors import UnsupportedLayerError, UserError
from qdeploy.ir.head import Part
from qdeploy.lowering.canonical.edit import Edit

OUTPUTS_KEY = "qdeploy.outputs"
_NAME = "outputs"


def keep_output(model: ModelProto, wanted: str, name: str, where: str) -> list[str]:
    """Cut all outputs of a file but one, in place; returns what a user should know.

    Args:
        name, where: the file, in messages.

    Raises:
        UserError: it has no output of that name.
    """
    outputs = [item.name for item in model.graph.output]
    if wanted not in outputs:
        raise UserError(
            f"{name} has no output `{wanted}`",
            where=where,
            why=f"its outputs are {_listed(outputs)}",
            do="give one of them to --output",
        )
    others = [item for item in outputs if item != wanted]
    for item in [item for item in model.graph.output if item.name != wanted]:
        model.graph.output.remove(item)
    if not others:
        return []
    return [
        f"the output `{wanted}` is built; {_listed(others)} and what only they need were cut off"
    ]


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(f"`{one[:60]}`" for one in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def join_outputs(model: ModelProto) -> list[str]:
    """Put a Concat behind the outputs of a model that has several; returns notes.

    Args:
        model: with maps as (N, channels, height, width); changed in place.

    Raises:
        UnsupportedLayerError: the outputs are of different sizes.
    """
    outputs = list(model.graph.output)
    if len(outputs) < 2:
        return []
    edit = Edit(model)
    shapes = [_pixels_first(edit.shape(item.name)) for item in outputs]
    sizes = {shape[2:] for shape in shapes}
    if len(sizes) != 1 or min(map(len, shapes)) < 2:
        shown = ", ".join(f"`{i.name}` {s[1:]}" for i, s in zip(outputs, shapes, strict=True))
        raise UnsupportedLayerError(
            "the outputs of the file are of different sizes",
            where=shown,
            expected="vectors, or maps of one size",
            why="they share one stream of results, pixel by pixel",
            do=f"choose one, such as `--output {outputs[-1].name[:60]}`; what only the others need "
            "is cut off",
        )
    names = [_plain(model, edit, item) for item in outputs]
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    numbered = (f"{_NAME}{number or ''}" for number in range(len(taken) + 1))
    name = next(one for one in numbered if one not in taken)
    model.graph.node.append(helper.make_node("Concat", names, [name], name, axis=1))
    parts = [[item.name, shape[1]] for item, shape in zip(outputs, shapes, strict=True)]
    model.metadata_props.add(key=OUTPUTS_KEY, value=json.dumps(parts))
    channels = sum(shape[1] for shape in shapes)
    kind = outputs[0].type.tensor_type.elem_type
    del model.graph.output[:]
    model.graph.value_info.extend(outputs)
    shape = (1, channels, *sizes.pop())
    model.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    listed = ", ".join(f"`{name}` ({count})" for name, count in parts)
    note = f"several outputs: the channels of the results are those of {listed}, in this order"
    return [note]


def _plain(model: ModelProto, edit: Edit, output: ValueInfoProto) -> str:
    """An output without axes of one pixel."""
    if len(edit.shape(output.name)) == len(_pixels_first(edit.shape(output.name))):
        return str(output.name)
    name = f"{output.name}_vector"
    model.graph.node.append(helper.make_node("Flatten", [output.name], [name], name, axis=1))
    return name


def _pixels_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of one pixel behind the channels."""
    return shape[:2] if all(size == 1 for size in shape[2:]) else shape


def parts_of(model: ModelProto, channels: int) -> tuple[Part, ...]:
    """The outputs that the channels of a model's one output are; none where it is its own.

    Args:
        channels: of the output.

    Raises:
        UnsupportedLayerError: the file, which anyone may have written, lists something else.
    """
    stored = next((item.value for item in model.metadata_props if item.key == OUTPUTS_KEY), None)
    if stored is None:
        return ()
    try:
        found = json.loads(stored)
    except (ValueError, RecursionError):
        found = None
    pairs = found if isinstance(found, list) else []
    sizes = [pair[1] for pair in pairs if _is_part(pair)]
    if len(pairs) < 2 or len(sizes) < len(pairs) or sum(sizes) != channels:
        raise UnsupportedLayerError(
            "the file's list of its outputs cannot be read",
            where=f"metadata `{OUTPUTS_KEY}`",
            why=f"it is no list of names and channels, {channels} together",
            do="export the network again",
        )
    return tuple(Part(name, size) for name, size in pairs)


def _is_part(pair: Any) -> bool:
    """Whether an entry of the list is a name and a number of channels."""
    if not isinstance(pair, list) or len(pair) != 2:
        return False
    return isinstance(pair[0], str) and type(pair[1]) is int and pair[1] > 0

"""The fields of the structures that describe layers in C, and where tensors lie."""

from __future__ import annotations

from qdeploy.codegen.c.buffers import INPUT, LOGITS
from qdeploy.codegen.c.constants import Constants
from qdeploy.codegen.c.elements import Stored
from qdeploy.codegen.c.kernels import TYPES, Kernel
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.staging import Staging
from qdeploy.codegen.c.steps import Step
from qdeploy.ir.integer_graph import Conv, DepthToSpace, Dilate, MaxPool, Node, Upsample

Fields = list[tuple[str, object]]


def place_of(program: Program, tensor: Stored) -> str:
    """Where a tensor lies, in C."""
    buffer = program.storage[tensor.name]
    if buffer == INPUT:
        return "in"
    return "out" if buffer == LOGITS else f"arena + {program.memory.offsets[buffer]}"


def pixel_fields(finish: Fields, pixels: int, result: Stored) -> Fields:
    """Of a `qd_pixels_t`."""
    return [
        ("finish", braces(finish)),
        ("pixels", pixels),
        ("channels", result.channels),
        ("out_type", TYPES.index(result.element)),
    ]


def call_of(kernel: Kernel, name: str, places: list[str], *more: object) -> str:
    """The call of a kernel."""
    return f"    {kernel.name}(&{name}, {', '.join([*places, *map(str, more)])});"


def dense_fields(number: int, step: Step, constants: Constants) -> Fields:
    """Of a `qd_dense_t`."""
    packed = step.weights
    assert packed is not None and step.finish is not None
    return [
        ("finish", braces(constants.finish(number, step.finish))),
        ("weights", constants.weights(number, step)),
        ("inputs", packed.columns),
        ("outputs", step.result.count),
        ("least", packed.least),
        ("bits", 0 if packed.trits else packed.bits),
        ("out_type", TYPES.index(step.result.element)),
    ]


def conv_fields(
    number: int, step: Step, constants: Constants, result: Stored, ring: int = 0
) -> Fields:
    """Of a `qd_conv_t`; `ring`: rows that are held of the input."""
    assert isinstance(step.node, Conv)
    node = step.node
    source, packed = step.sources[0], step.weights
    assert packed is not None and step.finish is not None
    fields: Fields = [
        ("finish", braces(constants.finish(number, step.finish))),
        ("weights", constants.weights(number, step)),
        ("row_bytes", packed.data.shape[1]),
    ]
    return [
        *fields,
        *_sizes("in", source),
        *_sizes("out", result),
        ("window_height", node.weights.shape[2]),
        ("window_width", node.weights.shape[3]),
        ("stride_down", node.stride[0]),
        ("stride_right", node.stride[1]),
        ("dilation_down", node.dilation[0]),
        ("dilation_right", node.dilation[1]),
        ("top", node.pads[0]),
        ("left", node.pads[1]),
        ("groups", node.groups),
        ("least", packed.least),
        ("bits", 0 if packed.trits else packed.bits),
        *([] if step.staging is None else _staged(number, step.staging, constants)),
        *_vector(number, step, constants),
        ("out_type", TYPES.index(result.element)),
        ("in_type", TYPES.index(source.element)),
        ("ring", ring),
    ]


def _staged(number: int, staging: Staging, constants: Constants) -> Fields:
    return [
        ("unit", staging.unit.value),
        ("units", staging.units),
        ("columns", staging.columns),
        ("band", staging.band),
        ("runs", constants.runs(number, staging)),
    ]


def _vector(number: int, step: Step, constants: Constants) -> Fields:
    if step.vector is None or step.staging is None:
        return []
    name = constants.vector(number, step.vector)
    return [("most_fours", step.staging.most_fours), ("vector", name)]


def window_fields(node: Node) -> Fields:
    """Of a `qd_move_t` what a layer has of its own."""
    if isinstance(node, MaxPool):
        return [
            ("down", node.stride[0]),
            ("right", node.stride[1]),
            ("window_height", node.kernel[0]),
            ("window_width", node.kernel[1]),
            ("top", node.pads[0]),
            ("left", node.pads[1]),
        ]
    if isinstance(node, Upsample):
        return [("down", node.factor[0]), ("right", node.factor[1])]
    if isinstance(node, Dilate):
        return [("down", node.step[0]), ("right", node.step[1])]
    return [("down", node.block)] if isinstance(node, DepthToSpace) else []


def move_fields(source: Stored, result: Stored) -> Fields:
    """Of a `qd_move_t` what all have."""
    return [
        ("in_height", source.height),
        ("in_width", source.width),
        *_sizes("out", result),
        ("in_type", TYPES.index(source.element)),
        ("out_type", TYPES.index(result.element)),
    ]


def _sizes(side: str, tensor: Stored) -> Fields:
    return [
        (f"{side}_height", tensor.height),
        (f"{side}_width", tensor.width),
        (f"{side}_channels", tensor.channels),
    ]


def braces(fields: Fields) -> str:
    """Fields as a value inside another structure."""
    return "{" + ", ".join(f".{key} = {value}" for key, value in fields if value not in (0,)) + "}"

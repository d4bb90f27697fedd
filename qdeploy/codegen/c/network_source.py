"""`network.c`: the descriptions of the layers and the function that runs them in order."""

from __future__ import annotations

from dataclasses import replace

from qdeploy.codegen.c.constants import Constants
from qdeploy.codegen.c.elements import Stored
from qdeploy.codegen.c.finishing import Finish
from qdeploy.codegen.c.kernels import (
    COMMON,
    TYPES,
    Kernel,
    adding_kernel,
    finish_kind,
    kernel_of,
    kernels_of,
)
from qdeploy.codegen.c.program import (
    INPUT,
    LOGITS,
    Program,
    held_bytes,
    middle_bytes,
    scratch_name,
)
from qdeploy.codegen.c.staging import Staging
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.straight import straight_function
from qdeploy.codegen.c.text import comment_word, structure
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthToSpace,
    Dilate,
    GlobalSum,
    MaxPool,
    Node,
    Threshold,
    Upsample,
)

Fields = list[tuple[str, object]]


def network_source(program: Program, prefix: str, constants: Constants) -> str:
    """The text of `network.c`; constants are added to `constants`."""
    layers, calls, taps = [], [], 0
    for number, step in enumerate(program.steps):
        title = f"/* {number}: {comment_word(step.layer)} */\n"
        if step.fused is not None:
            text, call = _fused(number, step, program, constants, taps)
            layers.append(title + text)
            calls.append(call)
            taps += len(step.fused.held)
        else:
            found = _layer(number, step, program, constants)
            layers.append(title + "".join(text for text, _ in found))
            calls += [call for _, call in found]
        calls.append(f"    QD_TAP({taps}, {_at(program, step.result)});")
        taps += 1
    kernels = list(dict.fromkeys(one for step in program.steps for one in kernels_of(step)))
    return "\n".join(
        [
            '#include "network.h"',
            '#include "weights.h"',
            "",
            *_includes(program, kernels),
            "",
            "/* A debug build sees what each step has written, in parts where it comes so. */",
            "#ifndef QD_TAP",
            "#define QD_TAP(number, data) ((void)0)",
            "#define QD_TAP_PART(number, data, bytes) ((void)0)",
            "#endif",
            "",
            *constants.local,
            *layers,
            f"int {prefix}_run(const {prefix}_input_t *input, int32_t *logits, uint8_t *arena) {{",
            "    const uint8_t *const in = (const uint8_t *)input;",
            "    uint8_t *const out = (uint8_t *)logits;",
            "    const uintptr_t places = (uintptr_t)in | (uintptr_t)out | (uintptr_t)arena;",
            "    if (in == NULL || out == NULL || arena == NULL || (places & 3u) != 0u) {",
            "        return -1;",
            "    }",
            *calls,
            "    return 0;",
            "}",
            "",
        ]
    )


def kernel_files(program: Program) -> list[str]:
    """The files of `kernels/` that a program needs."""
    used = {kernel.file for step in program.steps for kernel in kernels_of(step)}
    more = {"unpack.h"} if "conv.h" in used else set()
    more |= {"conv_vector.h"} if "conv_staged.h" in used else set()
    return sorted({*COMMON, *used, *more})


def _includes(program: Program, kernels: list[Kernel]) -> list[str]:
    uses = {use for kernel in kernels for use in kernel.uses}
    finishes = [step.finish for step in program.steps if step.finish is not None]
    for fused in (step.fused for step in program.steps if step.fused is not None):
        mapped = fused.mapped
        finishes += [
            fused.finish,
            *([] if mapped is None or not mapped.finish else [mapped.finish]),
        ]
    uses |= {use for finish in finishes if (use := finish_kind(finish)[1]) is not None}
    if any(one.element.packed for one in program.written):
        uses.add("QD_USE_PACKED")
    if any(step.weights is not None and step.weights.trits for step in program.steps):
        uses.add("QD_USE_TRITS")
    if any(step.vector is not None for step in program.steps):
        uses.add("QD_USE_VECTOR")
    lines = [f"#define {use} 1" for use in sorted(uses)]
    files = [name for name in kernel_files(program) if name not in (*COMMON, "conv_vector.h")]
    templates = {kernel.file for kernel in kernels if kernel.template}
    lines += ["#include <stddef.h>", '#include "kernels/layers.h"']
    lines += [f'#include "kernels/{name}"' for name in files if name not in templates]
    for kernel in kernels:
        if kernel.template:
            lines += ["", *(f"#define {name} {value}" for name, value in kernel.template)]
            lines.append(f'#include "kernels/{kernel.file}"')
            lines += [f"#undef {name}" for name, _ in kernel.template]
    return lines


def _at(program: Program, tensor: Stored) -> str:
    buffer = program.storage[tensor.name]
    if buffer == INPUT:
        return "in"
    return "out" if buffer == LOGITS else f"arena + {program.memory.offsets[buffer]}"


def _layer(
    number: int, step: Step, program: Program, constants: Constants
) -> list[tuple[str, str]]:
    """Definitions of structures, and the call with each."""
    name = f"layer_{number}"
    result, node = step.result, step.node
    places = [*(_at(program, one) for one in step.sources), _at(program, result)]
    if isinstance(node, Concat):
        found, first = [], 0
        for part, (source, place) in enumerate(zip(step.sources, places[:-1], strict=True)):
            channels = source.count // result.pixels
            fields = [*_move(source, result), ("in_channels", channels), ("first", first)]
            text = structure("qd_move_t", f"{name}_{part}", fields)
            found.append((text, _call(kernel_of(step), f"{name}_{part}", [place, places[-1]])))
            first += channels
        return found
    more: tuple[object, ...] = ()
    if step.straight:
        assert step.finish is not None
        text = straight_function(number, step, constants.finish(number, step.finish))
        return [(text, f"    straight_{number}({', '.join(places)});")]
    if isinstance(node, Dense):
        text = structure("qd_dense_t", name, _dense(number, step, constants))
    elif isinstance(node, Conv):
        text = structure("qd_conv_t", name, _conv(number, step, node, constants, result))
        places.append(f"arena + {program.memory.offsets[scratch_name(number)]}")
    elif isinstance(node, Add | Bias | Threshold | GlobalSum):
        assert step.finish is not None
        pixels = (step.sources[0] if isinstance(node, GlobalSum) else result).pixels
        finish = constants.finish(number, step.finish)
        text = structure("qd_pixels_t", name, _pixels(finish, pixels, result))
        if isinstance(node, Add | Bias | Threshold):
            more = (*([0] if isinstance(node, Add) else []), 0, pixels)
    else:
        depth: Fields = [("in_channels", step.sources[0].channels)]
        fields = [*_move(step.sources[0], result), *depth, *_window(node)]
        text = structure("qd_move_t", name, fields)
    return [(text, _call(kernel_of(step), name, places, *more))]


def _fused(
    number: int, step: Step, program: Program, constants: Constants, tap: int
) -> tuple[str, str]:
    """Definitions of a convolution with the addition fused into it, and the loop over its bands."""
    fused, staging, result = step.fused, step.staging, step.result
    assert fused is not None and staging is not None and isinstance(step.node, Conv)
    name, band, height = f"layer_{number}", staging.band, fused.middle.height
    scratch = program.memory.offsets[scratch_name(number)]
    at = scratch + step.scratch - middle_bytes(step, band)
    texts = [structure("qd_conv_t", name, _conv(number, step, step.node, constants, fused.middle))]
    source, other, out = (_at(program, one) for one in (*step.sources, result))
    added, place = step.sources[1], f"row * {result.width}"
    pixels = f"rows * {result.width}"

    def summed(what: str, layer: str, finish: Finish, written: Stored) -> str:
        fields = _pixels(constants.finish(number, finish, f"{what}_"), result.pixels, written)
        texts.append(f"/* {comment_word(layer)} */\n")
        texts.append(structure("qd_pixels_t", f"{name}_{what}", fields))
        return f"&{name}_{what}"

    def tapped(one: Stored, where: str) -> str:
        row = one.bytes // one.height
        return f"        QD_TAP_PART({tap + fused.held.index(one)}, {where}, {row} * rows);"

    held = f"arena + {at}"
    lines = [
        f"    for (int32_t row = 0; row < {height}; row += {band}) {{",
        f"        const int32_t left = {height} - row;",
        f"        const int32_t rows = left < {band} ? left : {band};",
        f"        qd_conv_band(&{name}, {source}, {held}, arena + {scratch}, row, rows, 0);",
        tapped(fused.middle, held),
    ]
    since = place
    if fused.mapped is not None:
        mapped = fused.mapped
        assert mapped.finish is not None
        kernel = kernel_of(replace(mapped, sources=(added,)))
        more = f"arena + {at + held_bytes(fused.middle, band)}"
        layer = summed("other", mapped.layer, mapped.finish, mapped.result)
        lines.append(f"        {kernel.name}({layer}, {other}, {more}, {place}, {pixels});")
        lines.append(tapped(mapped.result, more))
        added, other, since = mapped.result, more, "0"
    layer = summed("sum", fused.node.layer, fused.finish, result)
    places = f"{held}, {other}, {out}, {since}, {place}, {pixels}"
    lines.append(f"        {adding_kernel(fused.middle, added).name}({layer}, {places});")
    return "".join(texts), "\n".join([*lines, "    }"])


def _pixels(finish: Fields, pixels: int, result: Stored) -> Fields:
    return [
        ("finish", _braces(finish)),
        ("pixels", pixels),
        ("channels", result.channels),
        ("out_type", TYPES.index(result.element)),
    ]


def _call(kernel: Kernel, name: str, places: list[str], *more: object) -> str:
    return f"    {kernel.name}(&{name}, {', '.join([*places, *map(str, more)])});"


def _dense(number: int, step: Step, constants: Constants) -> Fields:
    packed = step.weights
    assert packed is not None and step.finish is not None
    return [
        ("finish", _braces(constants.finish(number, step.finish))),
        ("weights", constants.weights(number, step)),
        ("inputs", packed.columns),
        ("outputs", step.result.count),
        ("least", packed.least),
        ("bits", 0 if packed.trits else packed.bits),
        ("out_type", TYPES.index(step.result.element)),
    ]


def _conv(number: int, step: Step, node: Conv, constants: Constants, result: Stored) -> Fields:
    source, packed = step.sources[0], step.weights
    assert packed is not None and step.finish is not None
    fields: Fields = [
        ("finish", _braces(constants.finish(number, step.finish))),
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


def _window(node: Node) -> Fields:
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


def _move(source: Stored, result: Stored) -> Fields:
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


def _braces(fields: Fields) -> str:
    return "{" + ", ".join(f".{key} = {value}" for key, value in fields if value not in (0,)) + "}"

"""`network.c`: the descriptions of the layers and the function that runs them in order."""

from __future__ import annotations

from qdeploy.codegen.c.constants import Constants
from qdeploy.codegen.c.kernels import COMMON, Kernel, finish_kind, kernel_of, kernels_of
from qdeploy.codegen.c.layer_fields import (
    Fields,
    call_of,
    conv_fields,
    dense_fields,
    move_fields,
    pixel_fields,
    place_of,
    window_fields,
)
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.row_source import fused_layer, stream_layers
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.straight import straight_function
from qdeploy.codegen.c.text import comment_word, structure
from qdeploy.ir.integer_graph import (
    Add,
    Bias,
    Concat,
    Conv,
    Dense,
    GlobalSum,
    MaxPool,
    Threshold,
)


def network_source(program: Program, prefix: str, constants: Constants) -> str:
    """The text of `network.c`; constants are added to `constants`."""
    layers, calls, taps = [], [], 0
    for number, step in enumerate(program.steps):
        if (stream := program.stream_at(number)) is not None:
            if number == stream.first:
                found, lines, taps = stream_layers(stream, program, constants, taps)
                layers += found
                calls += lines
            continue
        title = f"/* {number}: {comment_word(step.layer)} */\n"
        if step.fused is not None:
            text, call = fused_layer(number, step, program, constants, taps)
            layers.append(title + text)
            calls.append(call)
            taps += len(step.fused.held)
        else:
            parts = _layer(number, step, program, constants)
            layers.append(title + "".join(text for text, _ in parts))
            calls += [call for _, call in parts]
        calls.append(f"    QD_TAP({taps}, {place_of(program, step.result)});")
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
    if program.streams:
        uses.add("QD_USE_RINGS")
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


def _layer(
    number: int, step: Step, program: Program, constants: Constants
) -> list[tuple[str, str]]:
    """Definitions of structures, and the call with each."""
    name = f"layer_{number}"
    result, node = step.result, step.node
    places = [*(place_of(program, one) for one in step.sources), place_of(program, result)]
    if isinstance(node, Concat):
        found, first = [], 0
        for part, (source, place) in enumerate(zip(step.sources, places[:-1], strict=True)):
            channels = source.count // result.pixels
            fields = [*move_fields(source, result), ("in_channels", channels), ("first", first)]
            text = structure("qd_move_t", f"{name}_{part}", fields)
            found.append((text, call_of(kernel_of(step), f"{name}_{part}", [place, places[-1]])))
            first += channels
        return found
    more: tuple[object, ...] = ()
    if step.straight:
        assert step.finish is not None
        text = straight_function(number, step, constants.finish(number, step.finish))
        return [(text, f"    straight_{number}({', '.join(places)});")]
    if isinstance(node, Dense):
        text = structure("qd_dense_t", name, dense_fields(number, step, constants))
    elif isinstance(node, Conv):
        text = structure("qd_conv_t", name, conv_fields(number, step, constants, result))
        places.append(f"arena + {program.scratch_at(number)}")
        more = () if step.staging is not None else (0, result.height, 0)
    elif isinstance(node, Add | Bias | Threshold | GlobalSum):
        assert step.finish is not None
        pixels = (step.sources[0] if isinstance(node, GlobalSum) else result).pixels
        finish = constants.finish(number, step.finish)
        text = structure("qd_pixels_t", name, pixel_fields(finish, pixels, result))
        if isinstance(node, Add | Bias | Threshold):
            more = (*([0] if isinstance(node, Add) else []), 0, pixels)
    else:
        depth: Fields = [("in_channels", step.sources[0].channels)]
        fields = [*move_fields(step.sources[0], result), *depth, *window_fields(node)]
        text = structure("qd_move_t", name, fields)
        more = (0, result.height, 0) if isinstance(node, MaxPool) else ()
    return [(text, call_of(kernel_of(step), name, places, *more))]

"""Layers in C that give some rows of their results at a time: fused additions, and streams.

A stream is a loop over its rounds:

    for (row = band; ; row += band) {
        rows_3 = …                      rows that are there of the last step's result
        rows_2 = reach(rows_3, …) …     those of the steps before it that it needs
        while (made_2 < rows_2) { … }   each step in turn, as far as its band and its rings go
        while (made_3 < rows_3) { … }
    }
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qdeploy.codegen.c.buffers import held_bytes, middle_bytes
from qdeploy.codegen.c.constants import Constants
from qdeploy.codegen.c.elements import Stored
from qdeploy.codegen.c.finishing import Finish
from qdeploy.codegen.c.kernels import adding_kernel, kernel_of
from qdeploy.codegen.c.layer_fields import (
    conv_fields,
    move_fields,
    pixel_fields,
    place_of,
    window_fields,
)
from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.streaming import Stream, readings, rings_written
from qdeploy.codegen.c.text import comment_word, structure


@dataclass(frozen=True)
class Rows:
    """Names in C of the rows that are made: the first one, how many, and where what is added and
    the result have them."""

    first: str = "row"
    count: str = "rows"
    added: str = "row"
    place: str = "row"


def fused_layer(
    number: int, step: Step, program: Program, constants: Constants, tap: int
) -> tuple[str, str]:
    """Definitions of a convolution with the addition fused into it, and the loop over its bands."""
    assert step.fused is not None and step.staging is not None
    band, height = step.staging.band, step.fused.middle.height
    texts, lines = _fused_rows(number, step, program, constants, tap, Rows())
    loop = [
        f"    for (int32_t row = 0; row < {height}; row += {band}) {{",
        f"        const int32_t left = {height} - row;",
        f"        const int32_t rows = left < {band} ? left : {band};",
        *(f"        {line}" for line in lines),
        "    }",
    ]
    return "".join(texts), "\n".join(loop)


def stream_layers(
    stream: Stream, program: Program, constants: Constants, tap: int
) -> tuple[list[str], list[str], int]:
    """Definitions of the layers of a stream, its loop, and the number of boundaries."""
    texts: list[str] = []
    numbers = range(stream.first, stream.last + 1)
    made = ", ".join(f"made_{number} = 0" for number in numbers)
    band, height = stream.band, program.steps[stream.last].result.height
    lines = [
        "    {",
        f"        int32_t {made};",
        f"        for (int32_t row = {band};; row += {band}) {{",
        f"            const int32_t rows_{stream.last} = qd_least(row, {height});",
        *_needs(stream, program.steps),
    ]
    whole = []
    for number in numbers:
        step = program.steps[number]
        held = [] if step.fused is None else step.fused.held
        found, loop = _stream_step(number, step, stream, program, constants, tap)
        texts += found
        lines += loop
        tap += len(held)
        if step.result.name not in stream.rings:
            whole.append(f"    QD_TAP({tap}, {place_of(program, step.result)});")
        tap += 1
    lines += [
        f"            if (rows_{stream.last} == {height}) {{",
        "                break;",
        "            }",
        "        }",
        "    }",
        *whole,
    ]
    return texts, lines, tap


def _needs(stream: Stream, steps: Sequence[Step]) -> list[str]:
    """Rows of each step in a round, from the last step to the first one."""
    height = steps[stream.last].result.height
    lines = []
    for number in range(stream.last - 1, stream.first - 1, -1):
        made, need = steps[number].result, ""
        for user in range(number + 1, stream.last + 1):
            for one in readings(steps[user]):
                if one.source.name == made.name:
                    more = one.extent - one.top
                    reach = f"qd_reach(rows_{user}, {one.stride}, {more}, {made.height})"
                    need = f"qd_most({need}, {reach})" if need else reach
        last = f"rows_{stream.last} == {height}"
        lines.append(
            f"            const int32_t rows_{number} =\n"
            f"                {last} ? {made.height} : {need or 0};"
        )
    return lines


def _stream_step(
    number: int, step: Step, stream: Stream, program: Program, constants: Constants, tap: int
) -> tuple[list[str], list[str]]:
    """Definitions of a step of a stream, and the loop that makes its rows of a round."""
    made, result = f"made_{number}", step.result
    ring = stream.rings.get(result.name)
    most = f"rows_{number} - {made}"
    if step.staging is not None:
        most = f"qd_least({most}, {step.staging.band})"
    for rows in rings_written(step, stream):
        most = f"qd_least({most}, {rows} - qd_held({made}, {rows}))"
    place = made if ring is None else f"qd_held({made}, {ring})"
    lines = [f"const int32_t rows = {most};"]
    if step.fused is not None:
        added = stream.rings.get(step.sources[1].name)
        other = made if added is None else f"qd_held({made}, {added})"
        names = Rows(made, "rows", other, place)
        texts, found = _fused_rows(number, step, program, constants, tap, names, stream)
        lines += found
        tap += len(step.fused.held)
    else:
        texts = [_definition(number, step, constants, stream)]
        lines.append(_row_call(number, step, program, made, f"{place} * {result.width}"))
    where, row_bytes = place_of(program, result), result.bytes // result.height
    if ring is not None:
        where, size = f"{where} + {row_bytes} * {place}", f"{row_bytes} * rows"
        lines.append(f"QD_TAP_PART({tap}, {where}, {size});")
    else:
        lines.append(f"QD_TAP_PART({tap}, {where}, 0);")
    lines.append(f"{made} += rows;")
    title = f"            /* {comment_word(step.layer)} */"
    loop = [f"            while ({made} < rows_{number}) {{"]
    loop += [f"                {line}" for line in lines]
    return texts, [title, *loop, "            }"]


def _definition(number: int, step: Step, constants: Constants, stream: Stream) -> str:
    ring, title = stream.rings.get(step.sources[0].name, 0), f"/* {comment_word(step.layer)} */\n"
    name, source = f"layer_{number}", step.sources[0]
    if step.weights is not None:
        fields = conv_fields(number, step, constants, step.result, ring)
        return title + structure("qd_conv_t", name, fields)
    fields = [
        *move_fields(source, step.result),
        ("in_channels", source.channels),
        *window_fields(step.node),
        ("ring", ring),
    ]
    return title + structure("qd_move_t", name, fields)


def _row_call(number: int, step: Step, program: Program, first: str, at: str) -> str:
    """The call that makes `rows` rows from `first` on, to the pixel `at` on."""
    places = [place_of(program, step.sources[0]), place_of(program, step.result)]
    if step.scratch:
        places.append(f"arena + {program.scratch_at(number)}")
    name = "qd_conv_band" if step.staging is not None else kernel_of(step).name
    return f"{name}(&layer_{number}, {', '.join(places)}, {first}, rows, {at});"


def _fused_rows(
    number: int,
    step: Step,
    program: Program,
    constants: Constants,
    tap: int,
    rows: Rows,
    stream: Stream | None = None,
) -> tuple[list[str], list[str]]:
    """Definitions, and the lines that make some rows."""
    fused, staging, result = step.fused, step.staging, step.result
    assert fused is not None and staging is not None
    name, band = f"layer_{number}", staging.band
    ring = 0 if stream is None else stream.rings.get(step.sources[0].name, 0)
    scratch = program.scratch_at(number)
    at = scratch + step.scratch - middle_bytes(step, band)
    fields = conv_fields(number, step, constants, fused.middle, ring)
    texts = [f"/* {comment_word(step.layer)} */\n", structure("qd_conv_t", name, fields)]
    source, other, out = (place_of(program, one) for one in (*step.sources, result))
    added, since = step.sources[1], f"{rows.added} * {result.width}"
    pixels = f"{rows.count} * {result.width}"

    def summed(what: str, layer: str, finish: Finish, written: Stored) -> str:
        fields = pixel_fields(constants.finish(number, finish, f"{what}_"), result.pixels, written)
        texts.append(f"/* {comment_word(layer)} */\n")
        texts.append(structure("qd_pixels_t", f"{name}_{what}", fields))
        return f"&{name}_{what}"

    def tapped(one: Stored, where: str) -> str:
        row = one.bytes // one.height
        return f"QD_TAP_PART({tap + fused.held.index(one)}, {where}, {row} * {rows.count});"

    held = f"arena + {at}"
    band_call = f"arena + {scratch}, {rows.first}, {rows.count}, 0"
    lines = [
        f"qd_conv_band(&{name}, {source}, {held}, {band_call});",
        tapped(fused.middle, held),
    ]
    if fused.mapped is not None:
        mapped = fused.mapped
        assert mapped.finish is not None
        kernel = kernel_of(replace(mapped, sources=(added,)))
        more = f"arena + {at + held_bytes(fused.middle, band)}"
        layer = summed("other", mapped.layer, mapped.finish, mapped.result)
        lines.append(f"{kernel.name}({layer}, {other}, {more}, {since}, {pixels});")
        lines.append(tapped(mapped.result, more))
        added, other, since = mapped.result, more, "0"
    layer = summed("sum", fused.node.layer, fused.finish, result)
    places = f"{held}, {other}, {out}, {since}, {rows.place} * {result.width}, {pixels}"
    lines.append(f"{adding_kernel(fused.middle, added).name}({layer}, {places});")
    return texts, lines

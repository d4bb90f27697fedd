"""`network.h`: what a program that uses a network includes."""

from __future__ import annotations

from qdeploy.codegen.c.program import Program
from qdeploy.codegen.c.text import comment_word
from qdeploy.version import __version__


def network_header(program: Program, prefix: str) -> str:
    """The text of `network.h`."""
    graph, source, result = program.graph, program.source, program.result
    tensor = graph.tensors[graph.input]
    upper = prefix.upper()
    scale = "no single one" if graph.head.scale is None else f"{float(graph.head.scale):.9g}"
    return f"""\
/* {comment_word(graph.name)}: a quantized network in C99, made by qdeploy {__version__}.
 *
 * No heap, no floating point, no state: as many calls at a time as there are arenas.
 */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Of a frame: input codes from {upper}_INPUT_LO to {upper}_INPUT_HI, pixel by pixel, channels
 * innermost: (height, width, channels). Other codes are not the network's. */
typedef {source.element.c_type} {prefix}_input_t;
#define {upper}_INPUT_HEIGHT {source.height}
#define {upper}_INPUT_WIDTH {source.width}
#define {upper}_INPUT_CHANNELS {source.channels}
#define {upper}_INPUT_SIZE {source.count}
#define {upper}_INPUT_LO ({tensor.lo})
#define {upper}_INPUT_HI ({tensor.hi})

/* Of the result: integers in the same order. Scale of the logits: {scale}. */
#define {upper}_OUTPUT_HEIGHT {result.height}
#define {upper}_OUTPUT_WIDTH {result.width}
#define {upper}_OUTPUT_CHANNELS {result.channels}
#define {upper}_OUTPUT_SIZE {result.count}

/* Buffers are aligned to 4 bytes: {upper}_ARENA(name), {upper}_INPUT(name) define them so. */
#define {upper}_ARENA_SIZE {max(program.memory.size, 4)}
#if defined(__GNUC__)
#define {upper}_ALIGNED __attribute__((aligned(4)))
#else
#define {upper}_ALIGNED
#endif
#define {upper}_ARENA(name) uint8_t name[{upper}_ARENA_SIZE] {upper}_ALIGNED
#define {upper}_INPUT(name) {prefix}_input_t name[{upper}_INPUT_SIZE] {upper}_ALIGNED

/* Run the network on one frame.
 *
 *   input    {upper}_INPUT_SIZE codes, aligned to 4 bytes
 *   logits   {upper}_OUTPUT_SIZE integers come here
 *   arena    {upper}_ARENA_SIZE bytes, aligned to 4; what was in it does not matter
 *
 * Returns 0, or -1 where a pointer is null or not aligned; then nothing was done.
 */
int {prefix}_run(const {prefix}_input_t *input, int32_t *logits, uint8_t *arena);

#ifdef __cplusplus
}}
#endif

#endif
"""

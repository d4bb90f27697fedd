"""Small fully connected layers as straight code: one sum after the other, zero weights left out.

    out[o] = finish(o, in[3] + in[7] - in[9] …)

Weights are -1, 0 and 1: a term takes two instructions, a load and an addition, and no weight is in
memory. No partial sum leaves 32 bits: the magnitudes of all terms together do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qdeploy.codegen.c.kernels import TYPES
from qdeploy.codegen.c.steps import Step
from qdeploy.codegen.c.text import structure

# Bytes of code of a term and of an output, as counted on a Cortex-M0+ and an M4.
TERM_BYTES, OUTPUT_BYTES = 5, 24
_TERMS_OF_A_LINE = 8


def code_bytes(step: Step) -> int:
    """About what straight code of a layer takes."""
    assert step.rows is not None
    return TERM_BYTES * int((step.rows != 0).sum()) + OUTPUT_BYTES * len(step.rows)


def with_straight_code(steps: Sequence[Step], budget: int) -> list[Step]:
    """The steps with straight code for as many fully connected layers, small ones first, as are
    within a budget of bytes."""
    found = list(steps)
    dense = [n for n, step in enumerate(found) if _is_ternary(step)]
    for number in sorted(dense, key=lambda n: code_bytes(found[n])):
        budget -= code_bytes(found[number])
        if budget < 0:
            break
        found[number] = replace(found[number], straight=True)
    return found


def _is_ternary(step: Step) -> bool:
    return step.rows is not None and int(abs(step.rows).max()) <= 1


def straight_function(number: int, step: Step, finish: Sequence[tuple[str, object]]) -> str:
    """The definition of `straight_NUMBER`, with that of its finish."""
    assert step.rows is not None
    load, out_type = f"qd_load_{step.sources[0].element.suffix}", TYPES.index(step.result.element)
    lines = [
        structure("qd_finish_t", f"finish_{number}", finish),
        f"static void straight_{number}(const uint8_t *in, uint8_t *out) {{",
        "    int32_t sum;",
    ]
    for output, row in enumerate(step.rows.tolist()):
        signs = {i: "+" if weight > 0 else "-" for i, weight in enumerate(row) if weight}
        terms = [f"{sign} {load}(in, {i})" for i, sign in signs.items()]
        lines.append(f"    sum = {'0' if not terms else ''}")
        for first in range(0, len(terms), _TERMS_OF_A_LINE):
            lines.append("        " + " ".join(terms[first : first + _TERMS_OF_A_LINE]))
        lines[-1] += ";"
        lines.append(
            f"    qd_store(out, {out_type}, {output}, qd_finish(&finish_{number}, {output}, sum));"
        )
    return "\n".join([*lines, "}", ""])

"""Which of several ways to compute a layer is taken: that of the fewest instructions on the core,
where a byte of flash counts as many as `--optimize` says.

Without a core it is the first one, and weights of three values are five to a byte wherever bytes
count.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdeploy.codegen.c.buffers import banded
from qdeploy.codegen.c.choices import Choices
from qdeploy.codegen.c.instructions import instructions_of
from qdeploy.codegen.c.steps import Step


def chosen(ways: Sequence[Step], choices: Choices) -> Step:
    """The way that is taken; all of them compute the same."""
    found = [(_price(step, choices), number, step) for number, step in enumerate(ways)]
    known = [(price, number, step) for price, number, step in found if price is not None]
    if len(known) == len(found):
        return min(known, key=lambda one: one[:2])[2]
    unit = ways[0].staging and ways[0].staging.unit
    same = [step for step in ways if (step.staging and step.staging.unit) == unit]
    return same[-1] if choices.byte_price else same[0]


def _price(step: Step, choices: Choices) -> float | None:
    """Instructions of a frame, with those that the bytes of weights are worth."""
    assert step.weights is not None
    count = instructions_of(banded(step, choices.least_band), choices.core)
    return None if count is None else count + choices.byte_price * step.weights.data.size

"""An addition inside the convolution that feeds it.

    z = finish(conv(y))       out = finish(z + f(x))

Of z, which often has more bits than what goes in or comes out, only a band of rows is held, and so
it is of f(x) where codes of a bypass are first brought to the sum's grid. Of two convolutions that
are added the one that is made last is fused: the other one's result is there by then.
"""

from __future__ import annotations

from dataclasses import replace

from qdeploy.codegen.c.steps import Fused, Step
from qdeploy.ir.integer_graph import Add, Bias, Threshold


def fused_adds(steps: list[Step]) -> list[Step]:
    """The steps with additions fused where they may be."""
    found = list(steps)
    for step in steps:
        if isinstance(step.node, Add):
            _fuse(step, found)
    return found


def _fuse(step: Step, steps: list[Step]) -> None:
    """Replace one of the two makers of what `step` adds by itself with the addition in it."""
    one, other = (source.name for source in step.sources)
    makers = {made.result.name: number for number, made in enumerate(steps)}
    if one == other:
        return
    for name, added in sorted(((one, other), (other, one)), key=lambda p: -makers.get(p[0], -1)):
        at, mapped = makers.get(name, -1), steps[makers[added]] if added in makers else None
        if at < 0 or not _is_fusible(steps[at], steps):
            continue
        if mapped is not None and not _is_mapping(mapped, steps):
            mapped = None
        read = added if mapped is None else mapped.sources[0].name
        if makers.get(read, -1) < at:
            _replace(step, at, mapped, steps)
            return


def _is_fusible(step: Step, steps: list[Step]) -> bool:
    return step.staging is not None and step.fused is None and _readers(step, steps) == 1


def _is_mapping(step: Step, steps: list[Step]) -> bool:
    return isinstance(step.node, Bias | Threshold) and _readers(step, steps) == 1


def _readers(step: Step, steps: list[Step]) -> int:
    return sum(one.name == step.result.name for other in steps for one in other.sources)


def _replace(step: Step, at: int, mapped: Step | None, steps: list[Step]) -> None:
    maker = steps[at]
    assert isinstance(step.node, Add) and step.finish is not None
    (added,) = (one for one in step.sources if one.name != maker.result.name)
    other = added if mapped is None else mapped.sources[0]
    fused = Fused(step.node, maker.result, step.finish, mapped)
    # Rows above are read again for the next band.
    apart = all(other.name != one.name for one in maker.sources)
    sources = (*maker.sources, other)
    steps[at] = replace(maker, sources=sources, result=step.result, in_place=apart, fused=fused)
    steps.remove(step)
    if mapped is not None:
        steps.remove(mapped)

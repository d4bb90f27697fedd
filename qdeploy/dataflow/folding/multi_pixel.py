"""How many pixels per beat each layer takes, together with its folding.

One pixel per beat is enough until a layer that handles every pixel at once is still the slowest.
Then this layer gets more of them, and the model is folded again, for as long as that makes the
design faster and it fits. At a given rate only layers that could not reach it get more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qdeploy.dataflow.cost.blocks import BlockCosts
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint
from qdeploy.dataflow.folding.fold import Folding, fold
from qdeploy.dataflow.folding.pixels import multi_pixel_choices, with_multi_pixel
from qdeploy.design.manifest import PIXELS
from qdeploy.errors import FoldingError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

Choices = Mapping[str, Mapping[int, int]]


def fold_multi_pixel(
    model: ModelWrapper,
    budget: Budget,
    cycles: int | None = None,
    *,
    min_cycles: int = 1,
    widest_beat: int | None = None,
    constraints: Sequence[FoldingConstraint] = (),
    costs: BlockCosts | None = None,
    clock_mhz: float | None = None,
) -> tuple[ModelWrapper, Folding]:
    """Fold a model, with several pixels per beat where that pays; arguments and errors of `fold`.

    Returns:
        The folded model, which may be a copy, and its folding, with M where it is above 1.
    """
    choices = multi_pixel_choices(model)
    asked, others = _asked(choices, constraints)
    settings: dict[str, Any] = {
        "min_cycles": min_cycles,
        "widest_beat": widest_beat,
        "costs": costs,
        "clock_mhz": clock_mhz,
    }

    def folded(pixels: Mapping[str, int]) -> tuple[ModelWrapper, Folding]:
        made = with_multi_pixel(model, pixels)
        found = fold(made, budget, cycles, constraints=others, **settings)
        named = {
            name: {PIXELS: pixels[name], **values} if pixels.get(name, 1) > 1 else values
            for name, values in found.attributes.items()
        }
        return made, replace(found, attributes=named)

    if asked:
        return folded(asked)
    if cycles is not None:
        return folded(_enough(choices, cycles))
    best = folded({})
    while best[1].solution.cycles > min_cycles:
        reached = best[1].solution.cycles
        pixels = _enough(choices, reached - 1)
        stuck = any(choices[name][many] >= reached for name, many in pixels.items())
        if stuck or all(many == 1 for many in pixels.values()):
            break
        try:
            tried = folded(pixels)
        except FoldingError:  # not even the slowest of these foldings fits
            break
        if tried[1].solution.cycles >= reached:
            break
        best = tried
    return best


def with_enough_pixels(model: ModelWrapper, cycles: int) -> ModelWrapper:
    """A copy in which layers that could not finish in `cycles` otherwise take several pixels per
    beat, as a folding for that rate has them."""
    return with_multi_pixel(model, _enough(multi_pixel_choices(model), cycles))


def _enough(choices: Choices, cycles: int) -> dict[str, int]:
    """Layer -> the fewest pixels per beat that finish in `cycles`; 1 where no number does."""
    return {
        name: next((many for many in sorted(known) if known[many] <= cycles), 1)
        for name, known in choices.items()
    }


def _asked(
    choices: Choices, constraints: Sequence[FoldingConstraint]
) -> tuple[dict[str, int], list[FoldingConstraint]]:
    """M by layer, as a folding file has it, and the other constraints.

    Raises:
        FoldingError: a layer cannot take that many; names the nearest number.
    """
    pixels: dict[str, int] = {}
    others = []
    for constraint in constraints:
        values = dict(constraint.values)
        many = values.pop(PIXELS, None)
        if many is not None:
            legal = sorted(choices.get(constraint.layer, {1: 0}))
            if many not in legal:
                near = min(legal, key=lambda m: abs(m - many) if isinstance(many, int) else m)
                raise FoldingError(
                    f"layer `{constraint.layer}` cannot have {PIXELS} {many}",
                    where=constraint.where,
                    why=f"legal are {', '.join(map(str, legal))}",
                    do=f"the nearest is {PIXELS} {near}",
                )
            pixels[constraint.layer] = int(many)
        others.append(replace(constraint, values=values))
    return pixels, others

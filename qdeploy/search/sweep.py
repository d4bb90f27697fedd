"""Estimates of variants of a recipe: every combination of the values of some of its keys.

Nothing is trained or built. A variant that cannot be built there is a point too, with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdeploy.errors import DoesNotFitError, FoldingError, UnsupportedLayerError, UserError
from qdeploy.ir.integer_graph import Conv, Dense, IntArray, IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.loading import load_recipe
from qdeploy.search.axis import Axis, value_text
from qdeploy.search.estimate import Estimate, estimate, untrained
from qdeploy.search.room import Room

if TYPE_CHECKING:
    from qdeploy.recipe.models import Recipe

MOST_POINTS = 256


@dataclass(frozen=True)
class Variant:
    """A recipe with one combination of values.

    Args:
        settings: key -> value.
    """

    settings: Mapping[str, Any]
    recipe: Recipe

    @property
    def label(self) -> str:
        """Its values, for people: the last part of each key and the value."""
        parts = (f"{key.rpartition('.')[2]}={value_text(v)}" for key, v in self.settings.items())
        return " ".join(parts)

    @property
    def words(self) -> list[str]:
        """Words of the command line that makes it of the recipe."""
        return [w for key, v in self.settings.items() for w in ("--set", f"{key}={value_text(v)}")]


@dataclass(frozen=True)
class Point:
    """A variant with its estimate.

    Args:
        weights: how many its layers have, None where the network could not be lowered.
        weight_bits: that they take together.
        estimate: None where no folding was found.
        refusal: why not.
    """

    variant: Variant
    weights: int | None
    weight_bits: int | None
    estimate: Estimate | None
    refusal: UserError | None = None

    @property
    def fits(self) -> bool:
        """Whether it is within the limits at the rate."""
        return self.estimate is not None and self.estimate.fits

    @property
    def tightest(self) -> tuple[str, float]:
        """The kind of resource that it uses the largest share of, and that share of the limit."""
        assert self.estimate is not None
        used, limit = self.estimate.usage.used(), self.estimate.room.limit.used()
        shares = {kind: used[kind] / max(limit[kind], 1e-9) for kind in limit}
        kind = max(shares, key=lambda one: shares[one])
        return kind, shares[kind]


def variants(path: Path, overrides: Sequence[str], axes: Sequence[Axis]) -> list[Variant]:
    """All combinations; the last axis changes fastest.

    Raises:
        UserError: there are none, more than `MOST_POINTS`, or one key has two axes.
        RecipeError: a combination is no valid recipe.
    """
    keys = [axis.key for axis in axes]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        do = f"give all its values in one --over {twice}=…"
        raise UserError(f"`{twice}` is swept twice", do=do)
    count = 1
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_POINTS:
        raise UserError(
            f"these are {count:,} combinations, more than {MOST_POINTS}",
            why="each takes some seconds",
            do="sweep fewer values, or fewer keys at once",
        )
    found = []
    for values in itertools.product(*(axis.values for axis in axes)):
        settings = dict(zip(keys, values, strict=True))
        words = [f"{key}={value_text(value)}" for key, value in settings.items()]
        found.append(Variant(settings, load_recipe(path, [*overrides, *words])))
    return found


def sweep(
    found: Sequence[Variant],
    room: Room,
    *,
    argmax: bool = False,
    observer: Observer = SILENT,
) -> list[Point]:
    """Estimate each variant.

    Args:
        found: with all that their data say in their recipes.
        argmax: end in the class.
        observer: counts the variants.
    """
    points = []
    for variant in observer.track(found, "estimates", unit="variants"):
        graph = None
        try:
            graph = untrained(variant.recipe, argmax=argmax)
            points.append(Point(variant, *_capacity(graph), estimate(graph, room)))
        except (DoesNotFitError, FoldingError, UnsupportedLayerError) as error:
            weights, bits = (None, None) if graph is None else _capacity(graph)
            points.append(Point(variant, weights, bits, None, error))
    return points


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Numbers of the points that no other one beats: cost (first) least, gain (second) most."""
    order = sorted(range(len(points)), key=lambda number: (points[number][0], -points[number][1]))
    best: list[int] = []
    for number in order:
        if not best or points[number][1] > points[best[-1]][1]:
            best.append(number)
    return best


def _capacity(graph: IntegerGraph) -> tuple[int, int]:
    layers = [node for node in graph.nodes if isinstance(node, Conv | Dense)]
    bits = sum(int(node.weights.size) * _width(node.weights) for node in layers)
    return sum(int(node.weights.size) for node in layers), bits


def _width(weights: IntArray) -> int:
    """Bits of the narrowest two's complement that holds all of them."""
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    return 1 + max(high.bit_length(), (-low - 1).bit_length() if low < 0 else 0)

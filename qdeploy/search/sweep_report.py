"""A sweep as a whole: what is gained for the resources, and which variants no other one beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qdeploy.search.room import Room
from qdeploy.search.sweep import Point, front

if TYPE_CHECKING:
    from qdeploy.search.swept_runs import Trained

# What is to be gained -> its name in sentences and along an axis.
GAINS = {
    "accuracy": "accuracy",
    "weight_bits": "bits of weights",
    "fps": "frames/s",
}


@dataclass(frozen=True)
class SweepReport:
    """A sweep.

    Args:
        points: variants with their estimates.
        trained: for each of them its runs.
    """

    room: Room
    points: Sequence[Point]
    trained: Sequence[Trained | None]

    @cached_property
    def gain(self) -> str:
        """What is to be gained for the resources: accuracy where some variant that fits was
        trained; else at a given rate the capacity, as bits of weights, and without one the rate."""
        known = (one for one, point in zip(self.trained, self.points, strict=True) if point.fits)
        if any(one is not None for one in known):
            return "accuracy"
        return "fps" if self.room.fps is None else "weight_bits"

    def gained(self, number: int) -> float | None:
        """What a variant gains."""
        point, trained = self.points[number], self.trained[number]
        if self.gain == "accuracy":
            return None if trained is None else trained.accuracy
        if self.gain == "weight_bits":
            return None if point.weight_bits is None else float(point.weight_bits)
        return None if point.estimate is None else point.estimate.fps

    @cached_property
    def front(self) -> list[int]:
        """Numbers of the variants that fit and that no other one beats, the cheapest first."""
        known = [
            (number, point.tightest[1], gained)
            for number, point in enumerate(self.points)
            if point.fits and (gained := self.gained(number)) is not None
        ]
        return [known[at][0] for at in front([(cost, gained) for _, cost, gained in known])]

    def as_data(self) -> dict[str, Any]:
        """As JSON data."""
        room = self.room
        return {
            "board": room.board.name,
            "clock_mhz": room.clock,
            "fps": room.fps,
            "limit": room.limit.used(),
            "gain": self.gain,
            "front": [self.points[number].variant.recipe.name for number in self.front],
            "variants": [
                self._point(point, one)
                for point, one in zip(self.points, self.trained, strict=True)
            ],
        }

    def _point(self, point: Point, trained: Trained | None) -> dict[str, Any]:
        data: dict[str, Any] = {
            "name": point.variant.recipe.name,
            "settings": dict(point.variant.settings),
            "weights": point.weights,
            "weight_bits": point.weight_bits,
            "fits": point.fits,
        }
        if point.estimate is not None:
            found = point.estimate
            kind, share = point.tightest
            data |= {
                "fps": found.fps,
                "cycles_per_frame": max(found.cycles, found.arriving),
                **found.usage.used(),
                "tightest": kind,
                "share_of_limit": share,
            }
        if point.refusal is not None:
            data["refused"] = point.refusal.render()
        if trained is not None:
            data |= {"accuracy": trained.accuracy, "runs": [str(run) for run in trained.runs]}
        return data

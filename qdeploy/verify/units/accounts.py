"""How many single faults there are, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FaultCount:
    """Single faults of one kind.

    Args:
        total: all of them.
        seen: those for which some input gives another code.
        redundant: those that no input within the range can show, proved.
    """

    total: int = 0
    seen: int = 0
    redundant: int = 0

    @property
    def left(self) -> int:
        """Those of which neither is known: the budget, or the time, ended before."""
        return self.total - self.seen - self.redundant

    @property
    def share(self) -> float:
        """Share of the faults that can be seen which are; 1.0 where none can."""
        visible = self.total - self.redundant
        return self.seen / visible if visible else 1.0

    def __add__(self, other: FaultCount) -> FaultCount:
        return FaultCount(
            self.total + other.total,
            self.seen + other.seen,
            self.redundant + other.redundant,
        )

    def record(self) -> dict[str, int]:
        """As in JSON."""
        return {
            "total": self.total,
            "seen": self.seen,
            "redundant": self.redundant,
            "left": self.left,
        }


@dataclass(frozen=True)
class FaultAccount:
    """Single faults of a unit by kind.

    Args:
        weights: a weight one higher or one lower, within what its width holds.
        thresholds: a threshold one higher or one lower.
        swaps: two rows exchanged, weights and thresholds together.
    """

    weights: FaultCount = field(default_factory=FaultCount)
    thresholds: FaultCount = field(default_factory=FaultCount)
    swaps: FaultCount = field(default_factory=FaultCount)

    def __add__(self, other: FaultAccount) -> FaultAccount:
        return FaultAccount(
            self.weights + other.weights,
            self.thresholds + other.thresholds,
            self.swaps + other.swaps,
        )

    @staticmethod
    def of(accounts: Iterable[FaultAccount]) -> FaultAccount:
        """The sum of several units' accounts."""
        return sum(accounts, FaultAccount())

    def record(self) -> dict[str, dict[str, int]]:
        """As in JSON."""
        return {
            "weights": self.weights.record(),
            "thresholds": self.thresholds.record(),
            "swaps": self.swaps.record(),
        }

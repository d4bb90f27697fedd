"""How many single faults there are, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

WEIGHTS, THRESHOLDS, BIASES = "weights", "thresholds", "biases"
CHANNELS, WINDOWS, BEATS = "channels", "windows", "beats"
# Of these there is an account. Beats are counted, or they are not.
KINDS = (WEIGHTS, THRESHOLDS, BIASES, CHANNELS, WINDOWS)


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
    """Single faults by kind.

    weights     one step higher or lower, within what their width holds
    thresholds  one higher or lower
    biases      one higher or lower
    channels    two channels, or rows of a unit, exchanged
    windows     one pixel off
    """

    counts: Mapping[str, FaultCount] = field(default_factory=dict)

    def __add__(self, other: FaultAccount) -> FaultAccount:
        kinds = dict.fromkeys((*self.counts, *other.counts))
        return FaultAccount({kind: self[kind] + other[kind] for kind in kinds})

    def __getitem__(self, kind: str) -> FaultCount:
        return self.counts.get(kind, FaultCount())

    @staticmethod
    def of(accounts: Iterable[FaultAccount]) -> FaultAccount:
        """The sum of several accounts."""
        return sum(accounts, FaultAccount())

    def shares(self) -> dict[str, float]:
        """Share of the faults of each kind that show; kinds without faults that can left out."""
        return {
            kind: round(self[kind].share, 6)
            for kind in KINDS
            if self[kind].total > self[kind].redundant
        }

    def record(self) -> dict[str, dict[str, int]]:
        """As in JSON; kinds without faults left out."""
        return {kind: self[kind].record() for kind in KINDS if self[kind].total}

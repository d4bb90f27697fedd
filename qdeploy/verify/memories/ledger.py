"""What was compared and what differs, while a design is read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.sums.results import Construct

# Of one memory or parameter list; all are counted.
MOST_LISTED = 20


@dataclass(frozen=True)
class Difference:
    """A number of the design that is not what the integer graph asks for.

    Args:
        layer: the recipe's name of the layer; empty for what belongs to none.
        module: Verilog module, or the name of a file.
        place: parameter, or row and column of a memory.
        expected, found: the two values, for people.
    """

    layer: str
    module: str
    place: str
    expected: str
    found: str

    def sentence(self) -> str:
        """For people."""
        layer = f"layer `{self.layer}`, " if self.layer else ""
        return (
            f"{layer}module `{self.module}`: {self.place} is {self.found}, expected {self.expected}"
        )


class UnreadableError(ValueError):
    """Part of a design that cannot be read; says what and why."""


@dataclass
class Ledger:
    """Counts and differences of one design.

    Args:
        folder: of the design.
        counted: numbers compared, by kind (`weights`, `thresholds`, …).
        differing: differences in all; `listed` has the first of each memory.
        used: how often each memory file was read.
        constructs: modules of the library that are written twice, and the layers that have them.
    """

    folder: Path
    counted: Counter[str] = field(default_factory=Counter)
    differing: int = 0
    listed: list[Difference] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    constructs: dict[Construct, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where something is read: findings of a layer's module go to the ledger through it."""

    ledger: Ledger
    layer: str
    module: str

    def differs(self, place: str, expected: object, found: object) -> None:
        """Note one difference."""
        one = Difference(self.layer, self.module, place, str(expected), str(found))
        self.ledger.differing += 1
        self.ledger.listed.append(one)

    def check(self, place: str, expected: object, found: object, kind: str = "parameters") -> bool:
        """Compare a value, count it; whether it is as expected."""
        self.ledger.counted[kind] += 1
        if expected == found:
            return True
        self.differs(place, expected, found)
        return False

    def holds(self, place: str, rule: str, true: bool, found: object) -> bool:
        """Check that a value follows a rule, count it; whether it does."""
        self.ledger.counted["parameters"] += 1
        if not true:
            self.differs(place, rule, found)
        return true

    def arrays(self, expected: IntArray, found: IntArray, place: Callable[[int, int], str]) -> None:
        """Compare two arrays (rows, columns) of one shape, number by number.

        Args:
            place: of a row and column, for people.
        """
        different = np.argwhere(expected != found)
        self.ledger.differing += len(different)
        for row, column in different[:MOST_LISTED].tolist():
            values = expected[row, column], found[row, column]
            one = Difference(
                self.layer, self.module, place(row, column), str(values[0]), str(values[1])
            )
            self.ledger.listed.append(one)

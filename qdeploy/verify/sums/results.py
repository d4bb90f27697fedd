"""What a proof is of, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

View = Literal["synthesis", "simulation"]
# How each view is named to people.
READERS: dict[View, str] = {"synthesis": "as it is synthesized", "simulation": "as it is simulated"}


class NotProvedError(Exception):
    """A step that no rule covers; the message is the reason."""


@dataclass(frozen=True)
class Construct:
    """A module of the library with its parameters.

    Args:
        parameters: name and value of those that its function depends on.
    """

    module: str
    parameters: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return " ".join(f"{name} {value}" for name, value in self.parameters)


@dataclass(frozen=True)
class Finding:
    """Where a module's result is not what it has to be, or the reason why there is no proof.

    Args:
        view: which of its two descriptions.
        place: what differs, for people.
        expected, found: the two values, for people.
    """

    view: View
    place: str
    expected: str
    found: str

"""What the driver raises about the board."""

from __future__ import annotations


class AcceleratorError(RuntimeError):
    """The board does not do what the package says it should, or is not there for it."""

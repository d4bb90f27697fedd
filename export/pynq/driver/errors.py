"""What the driver raises about the board, and about weights for it."""

from __future__ import annotations


class AcceleratorError(RuntimeError):
    """The board does not do what the package says it should, or is not there for it."""


class WeightsError(RuntimeError):
    """A file of weights is damaged, or of another accelerator."""

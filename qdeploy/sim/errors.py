"""What can go wrong while a model runs."""

from __future__ import annotations

from qdeploy.errors import VerificationError


class DeadlockError(VerificationError):
    """No port shook hands for too long, with beats still to come."""


class ProtocolError(VerificationError):
    """A port broke a rule of AXI-Stream, or gave more beats than it should."""

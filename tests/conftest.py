"""For every test run: Ctrl-C interrupts, also in a run that a shell started in the background; and
how fast a machine draws examples fails no test."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("qdeploy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("qdeploy")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Inherited, it would leave the tests that interrupt something running for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch computes with one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

"""For every test run: Ctrl-C interrupts, also in a run that a shell started in the background."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Inherited, it would leave the tests that interrupt something running for ever.
    signal.signal(signal.SIGINT, signal.default_int_handler)

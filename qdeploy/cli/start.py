"""The `qdeploy` program: it hears signals before it loads anything that takes time."""

from __future__ import annotations

import sys

from qdeploy.cli import signals


def main() -> None:
    """Entry point of the program."""
    signals.listen()
    with signals.Ending():
        from qdeploy.cli.main import main as command_line

        command_line()
    sys.exit(signals.exit_code())

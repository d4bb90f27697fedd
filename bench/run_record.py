"""Which run made a row: date, commit, command, machine and versions."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from qdeploy import provenance

ROOT = Path(__file__).resolve().parent.parent


def this_run(more_versions: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The record of this run of a bench.

    Args:
        more_versions: of programs that only this bench uses.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": COMMIT,
        "command": command(sys.argv),
        "machine": provenance.machine(),
        "versions": {**provenance.versions(), **(more_versions or {})},
    }


def revision() -> str | None:
    """Commit of this checkout, with `-dirty` when its code differs from it; None outside of git.

    Results and pages may differ: benches that run one after another change them.
    """
    head = _git("rev-parse", "--short=12", "HEAD")
    if head is None or head.returncode:
        return None
    code = _git("diff", "--quiet", "HEAD", "--", ".", ":!bench/results", ":!*.md")
    return head.stdout.strip() + ("-dirty" if code is None or code.returncode else "")


def _git(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    line = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(line, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None


# Read at the start: a bench may run for hours, and the checkout may change meanwhile.
COMMIT = revision()


def command(arguments: Sequence[str]) -> str:
    """The command line from the script on; of folders outside the checkout only the last part."""
    return shlex.join(["python", *(_portable(one) for one in arguments)])


def _portable(argument: str) -> str:
    option, equals, value = argument.partition("=")
    if equals and "/" not in option:  # an option, or the name of what the folder holds
        return f"{option}={_portable(value)}"
    path = Path(argument)
    if path.is_relative_to(ROOT):
        return path.relative_to(ROOT).as_posix()
    return f"FOLDER/{path.name}" if path.is_absolute() else argument

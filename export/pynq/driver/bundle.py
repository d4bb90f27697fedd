"""What `bundle.json` says about the accelerator, checked when it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .contents import check
from .self_digest import is_intact

FORMAT = 1
MAX_BYTES = 1 << 26


class BundleError(RuntimeError):
    """The package is incomplete, damaged, or of another format."""


def load(root: Path) -> dict[str, Any]:
    """Read `bundle.json` in the package folder `root`.

    Raises:
        BundleError: when it is missing, does not read, has another format, was edited, or lacks
            what the driver needs.
    """
    path = root / "bundle.json"
    try:
        data = _parsed(path)
        found = data.get("format") if isinstance(data, dict) else None
        if found == FORMAT:
            intact = is_intact(data)
            if intact:
                check(data)
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the whole package") from error
    if found != FORMAT:
        raise BundleError(
            f"{path} has format {found}, this driver reads {FORMAT};"
            " use the driver that came with the package"
        )
    if not intact:
        raise BundleError(
            f"{path} was edited or damaged: its digest is not that of its content;"
            " copy the whole package again, or export the network again with other options"
        )
    return dict(data)


def _parsed(path: Path) -> Any:
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES} bytes")
    return json.loads(text.decode("utf-8"))


def damaged(root: Path, data: dict[str, Any]) -> list[str]:
    """Names of the package's files that are missing or differ from what `bundle.json` recorded."""
    wrong = []
    for name, expected in sorted(data["files"].items()):
        if _digest(root / name) != expected:
            wrong.append(name)
    return wrong


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None where no file of that name can be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    except OSError:  # such as a name that is too long for the file system
        return None

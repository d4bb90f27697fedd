"""What `bundle.json` says about the accelerator, checked when it is read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .self_digest import is_intact

FORMAT = 1


class BundleError(RuntimeError):
    """The package is incomplete, damaged, or of another format."""


def load(root: Path) -> dict[str, Any]:
    """Read `bundle.json` in the package folder `root`.

    Raises:
        BundleError: when it is missing, does not read, has another format, or was edited.
    """
    path = root / "bundle.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read ({error}); copy the whole package") from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise BundleError(
            f"{path} has format {found}, this driver reads {FORMAT};"
            " use the driver that came with the package"
        )
    if not is_intact(data):
        raise BundleError(
            f"{path} was edited or damaged: its digest is not that of its content;"
            " copy the whole package again, or export the network again with other options"
        )
    return dict(data)


def damaged(root: Path, data: dict[str, Any]) -> list[str]:
    """Names of the package's files that are missing or differ from what `bundle.json` recorded."""
    wrong = []
    for name, expected in sorted(data["files"].items()):
        path = root / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            wrong.append(name)
    return wrong

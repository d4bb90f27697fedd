"""JSON objects that carry the digest of their own content, so that an edit by hand is noticed.

The digest is SHA-256 over the canonical text of everything but itself: keys sorted, no spaces,
ASCII. It finds accidents and edits; whoever wants to forge can compute it too. Standard library
only, Python 3.9: packages carry a copy of this file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DIGEST = "digest"


def content_digest(data: Mapping[str, Any]) -> str:
    """Hex SHA-256 of everything in `data` but its own digest.

    Args:
        data: of JSON's types, with finite numbers.
    """
    rest = {key: value for key, value in data.items() if key != DIGEST}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def with_digest(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with its digest as the last key."""
    rest = {key: value for key, value in data.items() if key != DIGEST}
    return {**rest, DIGEST: content_digest(rest)}


def is_intact(data: Mapping[str, Any]) -> bool:
    """Whether the digest in `data` is that of its content; False when it has none."""
    return bool(data.get(DIGEST) == content_digest(data))

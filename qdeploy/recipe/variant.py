"""The name of a variant: that of the recipe, and what `--set` changed.

    digits+training.epochs=3+training.threads=1

The same settings give the same name in any order and notation; other settings give another one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

SEPARATOR = "+"
LONGEST = 120  # of what was set: with a recipe's and a board's name it is a file name yet
_LONGEST_SETTING = 60
_DIGITS = 8
# How and where it is trained, which changes no weight: a run goes on with other values.
WITHOUT_INFLUENCE = {
    "training.device",
    "training.worker_timeout",
    "training.logs",
    "data.workers",
    "data.on_device",
}


def variant_name(name: str, settings: Mapping[str, Any]) -> str:
    """`name` with `settings` (dotted key -> value, as JSON has them) behind it.

    A setting that is long, or whose text is no part of a file name, ends in a digest of it. Where
    all of them together are longer than `LONGEST`, the first ones stand for the rest, with how many
    more there are and the digest of all.
    """
    parts = sorted(
        SEPARATOR + _setting(key, value)
        for key, value in settings.items()
        if key not in WITHOUT_INFLUENCE and not key.startswith("name.")
    )
    text = whole = "".join(parts)
    shown = len(parts)
    while len(text) > LONGEST:
        shown -= 1
        rest = f"{SEPARATOR}{len(parts) - shown}-more-{_digest(whole)}"
        text = "".join(parts[:shown]) + rest
    return name + text


def recipe_name(name: str) -> str:
    """The recipe's own name, of a variant's."""
    return name.partition(SEPARATOR)[0]


def _setting(key: str, value: Any) -> str:
    shown = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    text = f"{key}={shown}"
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", text, flags=re.ASCII)
    exact = text if not isinstance(value, str) or not _reads_otherwise(value) else f"{key}='{value}"
    if plain == exact and len(plain) <= _LONGEST_SETTING:
        return plain
    return f"{plain[: _LONGEST_SETTING - _DIGITS - 1]}-{_digest(exact)}"


def _reads_otherwise(text: str) -> bool:
    """Whether a text looks like a number, true, false or null."""
    try:
        json.loads(text)
    except ValueError:
        return "=" in text
    return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

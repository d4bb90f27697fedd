"""Keys of a recipe and the values that they take: what sweeps and studies go through."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from qdeploy.bounded import load_yaml
from qdeploy.errors import UserError


@dataclass(frozen=True)
class Axis:
    """A key of the recipe and the values that it takes, as `--set` would."""

    key: str
    values: tuple[Any, ...]


def parse_axis(text: str) -> Axis:
    """`network.width=8,16,32` as an axis; values are YAML, and a list is put in brackets.

    Raises:
        UserError: it has no such form, or a value twice.
    """
    key, equals, listed = text.partition("=")
    try:
        values = load_yaml(f"[{listed}]", "--over") if equals and key.strip() else None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"the values of `{key}` are not valid YAML", where=f"--over {text}", why=str(error)
        ) from error
    if not isinstance(values, list) or not values:
        raise UserError(
            f"`{text}` is not of the form section.key=value,value",
            where="--over",
            do="write it like --over network.width=8,16,32",
        )
    for number, value in enumerate(values):
        if value in values[:number]:
            raise UserError(f"the value {value} is there twice", where=f"--over {text}")
    return Axis(key.strip(), tuple(values))


def value_text(value: Any) -> str:
    """A value as `--set KEY=` takes it."""
    return value if isinstance(value, str) else json.dumps(value)

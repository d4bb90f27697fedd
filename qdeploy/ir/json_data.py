"""JSON data that is taken on no trust: every key there and no other, every value of its type and in
its range."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

MAX_ITEMS = 10_000
MAX_NAME = 1000
MAX_MAGNITUDE = 1 << 63
_FRACTION = re.compile(r"(-?[0-9]{1,1000})/([0-9]{1,1000})", re.ASCII)


class FormatError(ValueError):
    """A file, or JSON data, that holds no integer graph; says where and why."""


def object_of(data: Any, keys: tuple[str, ...], where: str) -> dict[str, Any]:
    """`data` if it is a JSON object with just these keys."""
    if not isinstance(data, dict):
        raise FormatError(f"{where}: not an object")
    for missing in (key for key in keys if key not in data):
        raise FormatError(f"{where}: `{missing}` is missing")
    for unknown in (key for key in data if key not in keys):
        raise FormatError(f"{where}: unknown key {unknown[:MAX_NAME]!r}")
    return data


def list_of(data: Any, most: int, where: str) -> list[Any]:
    """`data` if it is a list of at most `most` items."""
    if not isinstance(data, list) or len(data) > most:
        raise FormatError(f"{where}: not a list of at most {most} items")
    return data


def text_of(value: Any, where: str) -> str:
    """`value` if it is a text of at most `MAX_NAME` characters."""
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise FormatError(f"{where}: not a text of at most {MAX_NAME} characters")
    return value


def integer_of(value: Any, low: int, high: int, where: str) -> int:
    """`value` if it is an integer from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{where}: not an integer from {low} to {high}")
    return value


def integers_of(
    data: Any, count: int | None, low: int, high: int, where: str, most: int = 4
) -> tuple[int, ...]:
    """`count` integers, or up to `most` where that is None, from `low` to `high` each."""
    items = list_of(data, most, where)
    if count is not None and len(items) != count:
        raise FormatError(f"{where}: {len(items)} integers, not {count}")
    return tuple(integer_of(value, low, high, where) for value in items)


def fractions_of(data: Any, where: str) -> tuple[Fraction, ...]:
    """A list of fractions."""
    return tuple(fraction_of(value, where) for value in list_of(data, MAX_ITEMS, where))


def fraction_of(value: Any, where: str) -> Fraction:
    """The fraction of a text such as "1/8"."""
    found = _FRACTION.fullmatch(value) if isinstance(value, str) else None
    if found is None or int(found[2]) == 0:
        raise FormatError(f'{where}: not a fraction such as "1/8"')
    return Fraction(int(found[1]), int(found[2]))

"""Read dataclasses from parsed JSON: every key known, every value of its declared type."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def checked(kind: type[T], data: Any, where: str) -> T:
    """An instance of the dataclass `kind` made of a JSON object.

    Fields are dataclasses, str, int, bool, float, `X | None`, list[X], tuple[X, ...] or
    dict[str, X]. Those with a default may be missing.

    Args:
        where: what the object is, for the message.

    Raises:
        ValueError: a key is missing or unknown, or a value has another type.
    """
    if not isinstance(data, dict):
        raise ValueError(f"{where} is not an object")
    fields = {one.name: one for one in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := set(data) - set(fields):
        raise ValueError(f"{where} has the unknown key `{min(unknown)}`")
    missing = [
        name
        for name, one in fields.items()
        if name not in data
        and one.default is dataclasses.MISSING
        and one.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where} lacks the key `{missing[0]}`")
    hints = get_type_hints(kind)
    return kind(**{name: _value(hints[name], data[name], f"{where}.{name}") for name in data})


def _value(kind: Any, data: Any, where: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        wanted = next(one for one in inner if one is not type(None))
        return None if data is None else _value(wanted, data, where)
    if origin in (list, tuple) and isinstance(data, list):
        return origin(_value(inner[0], one, f"{where}[{i}]") for i, one in enumerate(data))
    if origin is dict and isinstance(data, dict):
        return {name: _value(inner[1], one, f"{where}.{name}") for name, one in data.items()}
    if dataclasses.is_dataclass(kind):
        return checked(kind, data, where)  # type: ignore[arg-type]
    if kind is float and type(data) is int:
        return float(data)
    if origin is None and type(data) is kind:
        return data
    raise ValueError(f"{where} is not {getattr(kind, '__name__', kind)}: {data!r:.60}")

"""Turning pydantic's errors into sentences with the allowed values and a suggestion."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from qdeploy.errors import did_you_mean
from qdeploy.recipe.data import Data, data_section
from qdeploy.recipe.inherit import BASE
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.networks import NETWORKS, NetworkSection, network_section
from qdeploy.recipe.section import NameIn


def explain(error: ErrorDetails, data: object) -> tuple[str, tuple[str | int, ...], str]:
    """What is wrong, the keys of the value, and what to do.

    Args:
        data: what was validated: which keys a network's section takes depends on its type.
    """
    owner, info, keys = _locate(error["loc"], data)
    dotted = ".".join(str(key) for key in keys) or "the recipe"
    key = str(keys[-1]) if keys else ""
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = list(owner.model_fields) if owner else []
        if owner is Recipe:
            known.append(BASE)  # removed when the file is read
        what = f"unknown key `{dotted}`{did_you_mean(key, known)}"
        return what, keys, f"known keys here: {', '.join(known)}"
    if kind == "missing":
        return f"`{dotted}` is missing", keys, _described("add it", info)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        tag, tags = error["ctx"].get("tag"), _tags(owner, key)
        what = f"`{dotted}.type` is `{tag}`{did_you_mean(str(tag), tags)}"
        if tag is None:
            what = f"`{dotted}.type` is missing"
        return what, (*keys, "type"), f"choose one of: {', '.join(tags)}"
    if kind == "literal_error":
        choices = [str(value) for value in _choices(info)]
        what = f"`{dotted}` is `{given}`{did_you_mean(str(given), choices)}"
        return what, keys, f"choose one of: {', '.join(choices)}"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, "), keys, "change the recipe"
    allowed_range = _range(info)
    message = str(error["msg"])
    if allowed_range and not isinstance(given, dict | list):
        return (
            f"`{dotted}` is {given}, which is not in the range {allowed_range}",
            keys,
            f"choose a value in the range {allowed_range}"
            + (f" ({info.description})" if info is not None and info.description else ""),
        )
    return f"`{dotted}`: {message[0].lower()}{message[1:]}", keys, _described("correct it", info)


def _locate(
    loc: tuple[str | int, ...], data: object
) -> tuple[type[BaseModel] | None, FieldInfo | None, tuple[str | int, ...]]:
    """The section that owns the last key, its field, and the keys as written in the file."""
    owner: type[BaseModel] | None = Recipe
    info: FieldInfo | None = None
    annotation: Any = Recipe
    keys: list[str | int] = []
    given = data  # the value at the keys so far
    for part in loc:
        models = _models(annotation, given)
        plain = _plain(annotation)
        if isinstance(part, str) and not models and get_origin(plain) is not dict and keys:
            break  # after a plain value only the branch of its union follows
        tagged = [m for m in models if _tag(m) == part] if len(models) > 1 else []
        if tagged:
            annotation = owner = tagged[0]
            continue
        keys.append(part)
        given = _inside(given, part)
        if isinstance(part, int):
            annotation = next(iter(get_args(plain)), Any)
        elif get_origin(plain) is dict:
            annotation = get_args(plain)[1]
        else:
            owner = models[0] if models else None
            info = owner.model_fields.get(part) if owner else None
            annotation = info.annotation if info else Any
    return owner, info, tuple(keys)


def _inside(given: object, key: str | int) -> object:
    if isinstance(given, Mapping) and isinstance(key, str):
        return given.get(key)
    if isinstance(given, Sequence) and isinstance(key, int) and key < len(given):
        return given[key]
    return None


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _models(annotation: Any, given: object) -> list[type[BaseModel]]:
    """The sections that an annotation allows; one where `given` decides which."""
    annotation = _plain(annotation)
    if annotation is NetworkSection:
        return [network_section(given)]
    if annotation is Data:
        return [data_section(given)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [model for part in get_args(annotation) for model in _models(part, given)]
    return []


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    values = get_args(field.annotation) if field else ()
    return str(values[0]) if values else None


def _tags(owner: type[BaseModel] | None, key: str) -> Iterable[str]:
    field = owner.model_fields.get(key) if owner else None
    annotation = _plain(field.annotation) if field else None
    if annotation is NetworkSection:
        return NETWORKS.names()
    return [tag for model in _models(annotation, None) if (tag := _tag(model))]


def _choices(info: FieldInfo | None) -> tuple[Any, ...]:
    """The values of a field that takes only some."""
    if info is None:
        return ()
    for one in info.metadata:
        if isinstance(one, NameIn):
            return one.registry.names()
    plain = info.annotation
    if get_origin(plain) is list:
        plain = get_args(plain)[0]
    return get_args(plain) if get_origin(plain) is Literal else ()


def _range(info: FieldInfo | None) -> str:
    low = high = None
    for bound in _bounds(info) if info is not None else ():
        if isinstance(bound, Ge):
            low = f"{bound.ge}"
        elif isinstance(bound, Gt):
            low = f"above {bound.gt}"
        elif isinstance(bound, Le):
            high = f"{bound.le}"
        elif isinstance(bound, Lt):
            high = f"below {bound.lt}"
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"{low} and up" if low is not None else ""


def _bounds(info: FieldInfo) -> list[Any]:
    """A field's bounds, also those of a number in a union with something else."""
    bounds = list(info.metadata)
    for part in get_args(info.annotation):
        for one in getattr(part, "__metadata__", ()):
            bounds += one.metadata if isinstance(one, FieldInfo) else [one]
    return bounds


def _described(advice: str, info: FieldInfo | None) -> str:
    return f"{advice}: {info.description}" if info is not None and info.description else advice

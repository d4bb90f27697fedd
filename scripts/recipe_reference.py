"""Keep the reference in docs/recipes.md equal to the recipe's models.

python scripts/recipe_reference.py          rewrite the part between the two marks
python scripts/recipe_reference.py --check  exit with 1 when it is not up to date
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qdeploy.recipe.data import DATASETS, Data
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.networks import NETWORKS, NetworkSection
from qdeploy.recipe.section import NameIn

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes.md"
BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"
OWN = "python:module:function"  # code of the user's own, in the place of a name
_BOUNDS = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}


def reference() -> str:
    """A table for each section, in the order in which a recipe names them."""
    parts: list[str] = []
    seen: set[type[BaseModel]] = set()
    queue: list[tuple[str, type[BaseModel]]] = [("", Recipe)]
    while queue:
        path, model = queue.pop(0)
        if model in seen:
            continue
        seen.add(model)
        parts.append(_section(path, model))
        for name, field in model.model_fields.items():
            inner = f"{path}.{name}" if path else name
            repeated = {list: "[]", dict: ".PATTERN"}.get(get_origin(_plain(field.annotation)), "")
            queue += [(inner + repeated, one) for one in _models(field.annotation)]
    return "\n".join(parts)


def _section(path: str, model: type[BaseModel]) -> str:
    tag = model.model_fields.get("type")
    title = f"`{path}`" if path else "The recipe"
    tagged = path != "" and tag is not None and len(get_args(tag.annotation)) == 1
    if tagged:
        title += f" with `type: {get_args(tag.annotation)[0]}`"
    names = [name for name in (*DATASETS.builtin, OWN) if DATASETS.load(name).section is model]
    if model is NETWORKS.load(OWN).section:
        title += f" with `type: {OWN}`"
    if names:
        title += f" with `name: {names[0]}`, besides the keys of every data set"
    lines = [f"### {title}", "", " ".join((model.__doc__ or "").split()), ""]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    above = Data.model_fields if issubclass(model, Data) and model is not Data else {}
    for name, field in model.model_fields.items():
        if name in above and field.default == above[name].default:
            continue
        if name == "type" and len(model.model_fields) > 1 and tagged:
            continue
        lines.append(
            f"| `{name}` | {_value(field)} | {_default(field)} | {field.description or ''} |"
        )
    return "\n".join(lines) + "\n"


def _plain(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    annotation = _plain(annotation)
    if annotation is NetworkSection:
        return [NETWORKS.load(name).section for name in (*NETWORKS.builtin, OWN)]
    if annotation is Data:
        own = [DATASETS.load(name).section for name in (*DATASETS.builtin, OWN)]
        return [Data, *(section for section in own if section is not None)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _value(field: FieldInfo) -> str:
    """Kind and range of a value."""
    for item in field.metadata:
        if isinstance(item, NameIn):
            return " or ".join(f"`{name}`" for name in (*item.registry.builtin, OWN))
    return " ".join([_kind(field.annotation), *_bounds(field.metadata)])


def _bounds(metadata: Iterable[Any]) -> list[str]:
    return [
        text.format(getattr(item, kind))
        for item in metadata
        for kind, text in _BOUNDS.items()
        if getattr(item, kind, None) is not None
    ]


def _kind(annotation: Any) -> str:
    bounds = [
        text
        for item in getattr(annotation, "__metadata__", ())
        if isinstance(item, FieldInfo)
        for text in _bounds(item.metadata)
    ]
    annotation = _plain(annotation)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(one) for one in inner if one is not type(None)))
    if origin is tuple:
        one = get_origin(_plain(inner[0])) or _plain(inner[0])
        if one is Literal:
            return f"list of {_kind(inner[0])}"
        named = {int: "integers", float: "numbers", str: "texts"}[one]
        return f"list of {named if inner[1:] == (...,) else f'{len(inner)} {named}'}"
    if origin is list:
        one = _kind(_plain(inner[0]))
        return f"list of {one}" if get_origin(_plain(inner[0])) is Literal else f"list of {one}s"
    if annotation is JsonValue:
        return "any value"
    if origin is dict:
        return f"{_kind(inner[1])} by {_kind(inner[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    kind = {int: "integer", float: "number", str: "text", bool: "true or false"}[annotation]
    return " ".join([kind, *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its defaults"
    if default is None or default is PydanticUndefined:
        return "-"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return f"`[{', '.join(map(str, default))}]`"
    return f"`{default}`"


def main() -> int:
    """Rewrite the page or check it."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        print(f"{PAGE.name} has no marks `{BEGIN}` and `{END}`", file=sys.stderr)
        return 1
    wanted = f"{before}{BEGIN}\n{reference()}{END}{after}"
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if page != wanted:
        print("docs/recipes.md is not up to date: run scripts/recipe_reference.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

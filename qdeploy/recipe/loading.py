"""Reading recipes: files with their bases, `--set` overrides, and messages that name the line and
the fix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from qdeploy.artifacts import write_text
from qdeploy.bounded import load_yaml
from qdeploy.errors import RecipeError
from qdeploy.recipe.explain import explain
from qdeploy.recipe.inherit import BASE, read_with_bases
from qdeploy.recipe.models import Recipe
from qdeploy.recipe.variant import variant_name
from qdeploy.recipe.yaml_tree import KeyPath, construct, lines_by_key


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe with its bases, and apply overrides such as `training.epochs=3` or
    `phases.0.epochs=3`.

    List items are addressed by index, named ones such as `phases` also by name. Values are YAML.
    Overrides become part of the recipe's name, unless one of them is the name.

    Raises:
        RecipeError: for a file that cannot be read, invalid YAML, an unknown key, a value out of
            range or an override that matches nothing, with file and line where there is one.
    """
    path = Path(path)
    root = read_with_bases(path)
    data, found = construct(root, path), lines_by_key(root)
    set_here: dict[KeyPath, str] = {}
    for override in overrides:
        set_here[_apply(data, override)] = override
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what, keys, do = explain(first, data)
        raise RecipeError(what, where=_where(keys, path, found, set_here), do=do) from error
    if ("name",) in set_here:
        return recipe
    return recipe.model_copy(
        update={"name": variant_name(recipe.name, _settings(recipe, set_here))}
    )


def _settings(recipe: Recipe, set_here: Iterable[KeyPath]) -> dict[str, Any]:
    """What was set as it was understood: dotted key -> value; items by name where they have one."""
    settings = {}
    for keys in set_here:
        here: Any = recipe.model_dump(mode="json")
        dotted = []
        for key in keys:
            here = here[key]
            named = isinstance(key, int) and isinstance(here, dict) and "name" in here
            dotted.append(str(here["name"] if named else key))
        settings[".".join(dotted)] = here
    return settings


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML with all defaults; `load_recipe` reads back an equal recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write `dump_recipe(recipe)` atomically."""
    write_text(path, dump_recipe(recipe), durable=True)


def _apply(data: dict[str, Any], override: str) -> KeyPath:
    """Put one `a.b.c=value` into `data`; returns its keys."""
    dotted, equals, text = override.partition("=")
    parts = [part.strip() for part in dotted.split(".")]
    if not equals or not all(parts):
        raise RecipeError(
            f"the override `{override}` is not of the form section.key=value",
            where=f"--set {override}",
            do="write it like --set training.epochs=3",
        )
    if parts == [BASE]:
        raise RecipeError(
            "`base` cannot be set by an override",
            where=f"--set {override}",
            why="the rest of the recipe is written as changes to its base",
            do="write a recipe of two lines, `name` and `base`",
        )
    try:
        value = load_yaml(text, "--set")
    except (yaml.YAMLError, ValueError) as error:  # the latter for a date that does not exist
        raise RecipeError(
            f"the value of `{dotted}` is not valid YAML",
            where=f"--set {override}",
            do="put the value in quotes",
        ) from error
    here: Any = data
    keys: list[str | int] = []
    for part in parts[:-1]:
        key = _key(here, part, override)
        if isinstance(here, dict) and here.get(key) is None:
            here[key] = {}
        here = here[key]
        keys.append(key)
    last = _key(here, parts[-1], override)
    here[last] = value
    return (*keys, last)


def _key(here: Any, part: str, override: str) -> str | int:
    """`part` as a key of `here`: of a list the index, also of the item with that name."""
    if isinstance(here, dict):
        return part
    if not isinstance(here, list):
        raise RecipeError(
            f"`{part}` is inside a plain value, which has no keys",
            where=f"--set {override}",
            do="check the dotted path against the recipe",
        )
    names = [item.get("name") if isinstance(item, dict) else None for item in here]
    if part in names:
        return names.index(part)
    if part.isdigit() and int(part) < len(here):
        return int(part)
    named = ", ".join(str(name) for name in names if name)
    raise RecipeError(
        f"there is no item `{part}` in a list of {len(here)}",
        where=f"--set {override}",
        do=f"use 0 to {len(here) - 1}" + (f", or one of: {named}" if named else ""),
    )


def _where(
    keys: KeyPath, path: Path, found: dict[KeyPath, str], set_here: dict[KeyPath, str]
) -> str:
    """The override, or the file and line, that gave the keys or the nearest section around them."""
    for end in range(len(keys), -1, -1):
        for location, override in set_here.items():
            if location == keys[:end] and end:
                return f"--set {override}"
        if keys[:end] in found:
            dotted = ".".join(str(key) for key in keys)
            return found[keys[:end]] + (f" ({dotted})" if dotted else "")
    return str(path)

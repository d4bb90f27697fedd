"""Runs and builds side by side: figures, layers, and where recipes and options differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qdeploy.build_folder import RECIPE_FILE, has_design, read_build
from qdeploy.errors import RecipeError
from qdeploy.recipe.loading import load_recipe
from qdeploy.report.design_report import read_report
from qdeploy.report.figures import BUILD, FIGURES, Measured
from qdeploy.report.tables import print_table

if TYPE_CHECKING:
    from rich.console import Console

# Options that say where things are and how the build was checked, not what was built.
_ELSEWHERE = {"data", "cache", "frames_from", "labels", "class_names", "source", "seed"}
ABSENT = "-"


@dataclass(frozen=True)
class Comparison:
    """Of two or more.

    Args:
        items: runs and builds, in the order given.
        layers: name of a hardware layer -> for each item what it takes, None where it has no such
            layer; only layers that are not the same in all builds.
        recipe, options: dotted key -> for each item its value, where they are not all the same.
    """

    items: Sequence[Measured]
    layers: Mapping[str, Sequence[Mapping[str, Any] | None]]
    recipe: Mapping[str, Sequence[Any]]
    options: Mapping[str, Sequence[Any]]

    def as_data(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "items": [
                {
                    "folder": str(one.folder),
                    "kind": one.kind,
                    "name": one.name,
                    "board": one.board,
                    "exact": one.exact,
                    **one.figures,
                }
                for one in self.items
            ],
            "layers": {name: list(values) for name, values in self.layers.items()},
            "recipe": {key: list(values) for key, values in self.recipe.items()},
            "options": {key: list(values) for key, values in self.options.items()},
        }


def compare(items: Sequence[Measured]) -> Comparison:
    """Compare runs and builds."""
    built = [_layers(one) for one in items]
    names = dict.fromkeys(name for layers in built for name in layers)
    layers = {name: [one.get(name) for one in built] for name in names}
    options = [
        {} if one.kind != BUILD else dict((read_build(one.folder) or {}).get("options", {}))
        for one in items
    ]
    return Comparison(
        items,
        {name: values for name, values in layers.items() if _differ(values, built)},
        _differences([_recipe(one) for one in items]),
        {key: values for key, values in _differences(options).items() if key not in _ELSEWHERE},
    )


def _differ(values: Sequence[Any], of: Sequence[Mapping[str, Any]]) -> bool:
    """Whether they are not all the same; those that have no layers at all do not count."""
    some = [value for value, layers in zip(values, of, strict=True) if layers]
    return any(value != some[0] for value in some)


def _layers(one: Measured) -> dict[str, dict[str, Any]]:
    if one.kind != BUILD or not has_design(one.folder):
        return {}
    return {
        row.name: {
            "folding": dict(row.folding),
            "cycles": row.cycles,
            **{kind: row.used[kind] for kind in ("lut", "bram36", "dsp") if kind in row.used},
        }
        for row in read_report(one.folder).layers
    }


def _recipe(one: Measured) -> dict[str, Any]:
    """Dotted key -> value; empty for a build of a file, and for an ensemble's."""
    path = one.folder / RECIPE_FILE
    if not path.is_file():
        return {}
    try:
        values = load_recipe(path).model_dump(mode="json")
    except RecipeError:
        return {}
    network = values["network"]
    if "operations" in network:  # of a traced module: whether they are the same is what counts
        operations = network["operations"]
        digest = hashlib.sha256(json.dumps(operations, sort_keys=True).encode()).hexdigest()
        network["operations"] = f"{len(operations):,}, digest {digest[:12]}"
    return _flat(values)


def _flat(value: Any, before: str = "") -> dict[str, Any]:
    """Leaves by dotted key; items of a list that have a name are addressed by it."""
    items: Iterable[tuple[str, Any]]
    if isinstance(value, Mapping) and value:
        items = value.items()
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        items = ((str(one.get("name", at)), one) for at, one in enumerate(value))
    else:
        return {before: value}
    found: dict[str, Any] = {}
    for key, inner in items:
        found |= _flat(inner, f"{before}.{key}" if before else str(key))
    return found


def _differences(of: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Keys whose values are not the same in all that have any; ABSENT where one has none."""
    keys = dict.fromkeys(key for one in of for key in one)
    found = {key: [one.get(key, ABSENT) for one in of] for key in keys}
    return {key: values for key, values in found.items() if _differ(values, of)}


def print_comparison(found: Comparison, console: Console) -> None:
    """Print the tables; those without a difference are left out."""
    labels = [str(one.folder) for one in found.items]
    right = range(1, 1 + len(labels))
    rows = [["name", *(one.name for one in found.items)]]
    rows.append(["board", *(one.board or ABSENT for one in found.items)])
    for key, figure in FIGURES.items():
        if any(key in one.figures for one in found.items):
            values = [one.figures.get(key) for one in found.items]
            rows.append([figure.title, *(figure.text(value) for value in values)])
    words = {True: "exact", False: "DIFFERS", None: ABSENT}
    rows.append(["ladder", *(words[one.exact] for one in found.items)])
    print_table("Figures", ["figure", *labels], rows, right=right, console=console)
    tables = [
        (title, first, [[name, *map(show, values)] for name, values in differing.items()])
        for title, first, show, differing in (
            ("Layers that differ", "layer", _layer, found.layers),
            ("Recipes differ in", "key", str, found.recipe),
            ("Options differ in", "key", str, found.options),
        )
    ]
    for title, first, lines in tables:
        if lines:
            print_table(title, [first, *labels], lines, console=console)


def _layer(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return ABSENT
    folding = " ".join(f"{key} {value}" for key, value in facts["folding"].items())
    amounts = [f"{facts['cycles']:,} cycles"]
    titles = {"lut": "LUT", "bram36": "BRAM36", "dsp": "DSP"}
    amounts += [f"{facts[k]:,g} {title}" for k, title in titles.items() if facts.get(k)]
    return f"{folding}: {', '.join(amounts)}" if folding else ", ".join(amounts)

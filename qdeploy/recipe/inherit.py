"""Recipes that inherit from another one: `base: FILE`, and the differences.

section over section        merged key by key; one with another `type` replaces the base's
section over named items    merged by name: phases: {retrain: {lipschitz: 0}}; null removes one
anything else               replaces the base's
"""

from __future__ import annotations

from pathlib import Path

import yaml

from qdeploy.bounded import is_named_file
from qdeploy.errors import RecipeError, did_you_mean
from qdeploy.recipe.yaml_tree import line_of, read_nodes

BASE = "base"


def read_with_bases(path: Path) -> yaml.MappingNode:
    """The file's sections, merged over those of its base and of the base's own bases.

    A base is named relative to the file that names it; it need not be a complete recipe.

    Raises:
        RecipeError: as `read_nodes`; for a base that is missing, is not a file name or inherits
            from itself; for a change of a named item that the base does not have. With file and
            line.
    """
    return _read(path, ())


def _read(path: Path, above: tuple[Path, ...]) -> yaml.MappingNode:
    root = read_nodes(path)
    given = next((pair for pair in root.value if pair[0].value == BASE), None)
    if given is None:
        return root
    root.value.remove(given)
    key, value = given
    if not isinstance(value, yaml.ScalarNode) or not _is_name(value.value):
        raise RecipeError(
            "`base` is not a file name",
            where=line_of(key),
            do="give one file name, relative to this file, such as base: common/cifar10.yaml",
        )
    base = path.parent / value.value
    chain = (*above, path.resolve())
    if base.resolve() in chain:
        names = [one.name for one in chain[chain.index(base.resolve()) :]]
        raise RecipeError(
            "recipes inherit from each other in a circle",
            where=line_of(key),
            why=" -> ".join([*names, names[0]]),
            do="remove the `base` of one of them",
        )
    if not is_named_file(base):
        raise RecipeError(
            f"the base `{value.value}` does not exist",
            where=line_of(key),
            why=f"there is no file {base}",
            do="name it relative to the recipe that inherits from it",
        )
    merged = _merge(_read(base, chain), root)
    assert isinstance(merged, yaml.MappingNode)
    return merged


def _is_name(text: str) -> bool:
    """Whether a text can be the name of a file."""
    return bool(text) and text.isprintable()


def _merge(base: yaml.Node, change: yaml.Node) -> yaml.Node:
    """`change` merged over `base`; both stay unmodified."""
    if not isinstance(change, yaml.MappingNode):
        return change
    if isinstance(base, yaml.MappingNode) and not _other_type(base, change):
        pairs = {str(key.value): (key, value) for key, value in base.value}
        for key, value in change.value:
            name = str(key.value)
            below = pairs[name][1] if name in pairs else None
            pairs[name] = (key, value if below is None else _merge(below, value))
        return _like(change, list(pairs.values()))
    if isinstance(base, yaml.SequenceNode) and all(_name(item) for item in base.value):
        return _change_named(base, change)
    return change


def _change_named(base: yaml.SequenceNode, change: yaml.MappingNode) -> yaml.SequenceNode:
    items = {_name(item): item for item in base.value}
    for key, value in change.value:
        name = str(key.value)
        if name not in items:
            raise RecipeError(
                f"the base has no item named `{name}`{did_you_mean(name, map(str, items))}",
                where=line_of(key),
                why=f"its items are: {', '.join(str(one) for one in items)}",
                do="change one of these, or give the whole list",
            )
        if value.tag == "tag:yaml.org,2002:null":
            del items[name]
        else:
            items[name] = _merge(items[name], value)
    return yaml.SequenceNode(base.tag, list(items.values()), base.start_mark, base.end_mark)


def _like(node: yaml.MappingNode, pairs: list[tuple[yaml.Node, yaml.Node]]) -> yaml.MappingNode:
    return yaml.MappingNode(node.tag, pairs, node.start_mark, node.end_mark)


def _scalar(node: yaml.Node, key: str) -> str | None:
    """The plain value of a key, None where there is none."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if name.value == key and isinstance(value, yaml.ScalarNode):
                return str(value.value)
    return None


def _name(node: yaml.Node) -> str | None:
    return _scalar(node, "name")


def _other_type(base: yaml.MappingNode, change: yaml.MappingNode) -> bool:
    wanted = _scalar(change, "type")
    return wanted is not None and wanted != _scalar(base, "type")

"""One recipe file as written: a tree of YAML nodes that know their file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qdeploy.bounded import MAX_YAML_BYTES, compose_yaml, construct_yaml, read_bounded
from qdeploy.errors import RecipeError

KeyPath = tuple[str | int, ...]


def read_nodes(path: Path) -> yaml.MappingNode:
    """The file's sections; every node's mark carries the file's path and the line.

    Raises:
        RecipeError: for a file that cannot be read, invalid YAML, a file without sections, an alias
            that contains itself or a duplicate key, with file and line.
    """
    try:
        text = read_bounded(path, MAX_YAML_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"the recipe `{path}` cannot be read", why=str(error), do="check the path"
        ) from error
    try:
        root = compose_yaml(text, str(path))
        if not isinstance(root, yaml.MappingNode):
            raise RecipeError(
                f"the recipe `{path}` has no sections",
                where=f"{path}:1",
                do="start from one of the recipes in models/quickstart",
            )
        _refuse_loops(root, ())
        lines_by_key(root)
        _flatten(root, yaml.SafeLoader(""))
    except yaml.YAMLError as error:
        raise _broken(error, path) from error
    return root


def construct(root: yaml.MappingNode, path: Path) -> dict[str, Any]:
    """The data of a tree, of one file or of several.

    Raises:
        RecipeError: for values that are not valid YAML, naming `path` and the line.
    """
    try:
        data: dict[str, Any] = construct_yaml(root)
    except yaml.YAMLError as error:
        raise _broken(error, path) from error
    except ValueError as error:  # such as the thirteenth month of a date
        raise RecipeError(
            f"the recipe `{path}` has a value that is not valid YAML: {error}",
            do="put it in quotes, or correct it",
        ) from error
    return data


def lines_by_key(root: yaml.Node) -> dict[KeyPath, str]:
    """`file:line` of each key and list item.

    Raises:
        RecipeError: for a duplicate key.
    """
    found: dict[KeyPath, str] = {}
    _collect(root, (), found)
    return found


def line_of(node: yaml.Node) -> str:
    """`file:line` of a node."""
    return f"{node.start_mark.name}:{node.start_mark.line + 1}"


def _refuse_loops(node: yaml.Node, above: tuple[yaml.Node, ...]) -> None:
    """Reject an alias that refers to a section it is part of."""
    if any(node is one for one in above):
        raise RecipeError(
            "an alias contains itself",
            where=line_of(node),
            why="expanding it would never end",
            do="write out the intended content in place of the alias",
        )
    if isinstance(node, yaml.CollectionNode):
        for child in node.value:
            for one in child if isinstance(child, tuple) else (child,):
                _refuse_loops(one, (*above, node))


def _collect(node: yaml.Node, keys: KeyPath, found: dict[KeyPath, str]) -> None:
    found.setdefault(keys, line_of(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _collect(item, (*keys, index), found)
    elif isinstance(node, yaml.MappingNode):
        for key_node, value in node.value:
            inner = (*keys, str(key_node.value))
            if inner in found:
                raise RecipeError(
                    f"duplicate key `{key_node.value}` in one section",
                    where=line_of(key_node),
                    why=f"it is already given on line {found[inner].rpartition(':')[2]}",
                    do="remove one of them",
                )
            found[inner] = line_of(key_node)
            _collect(value, inner, found)


def _flatten(node: yaml.Node, loader: yaml.SafeLoader) -> None:
    """Apply YAML's merge keys (`<<`), so that later steps see plain keys only."""
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        # Explicit keys come after merged ones, and the last one wins.
        node.value = list({str(key.value): (key, value) for key, value in node.value}.values())
        for _, value in node.value:
            _flatten(value, loader)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _flatten(item, loader)


def _broken(error: yaml.YAMLError, path: Path) -> RecipeError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return RecipeError(
        f"the recipe `{path}` is not valid YAML: {problem}",
        where=f"{mark.name}:{mark.line + 1}" if mark else str(path),
        do="check indentation, colons and quotes near that line",
    )

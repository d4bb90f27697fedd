"""Folding files: per-layer folding constraints; the solver decides the rest.

    group1_block0_conv1_mvau: {PE: 16, SIMD: 36}    # lanes
    head_mvau: {ram_style: block, resType: dsp}     # where weights and products go

Layers are named as in `report.json` and the design; a key that is left out stays free. Every build
writes the folding it has as such a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from qdeploy.artifacts import write_text
from qdeploy.bounded import MAX_YAML_BYTES, compose_yaml, load_yaml, read_bounded
from qdeploy.dataflow.folding.solver import LayerGroup, Option
from qdeploy.errors import FoldingError

Value = int | str


@dataclass(frozen=True)
class FoldingConstraint:
    """What a folding file requires of one layer, and the file and line that say so."""

    layer: str
    values: Mapping[str, Value]
    where: str


def read_folding(path: Path) -> list[FoldingConstraint]:
    """The constraints of a folding file.

    Raises:
        FoldingError: the file cannot be read, is no YAML, is no mapping of layers to mappings, or
            has a duplicate key.
    """
    try:
        root = compose_yaml(read_bounded(path, MAX_YAML_BYTES), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise FoldingError(
            f"the folding file `{path}` cannot be read", why=str(error), do="check the path"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise FoldingError(
            f"the folding file `{path}` is not valid YAML",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            do="check indentation, colons and braces around that line",
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise _shape(f"{path}:1")
    _refuse_duplicates(root, path, "layer `{}`")
    return [_constraint(key, value, path) for key, value in root.value]


def _constraint(key: yaml.Node, value: yaml.Node, path: Path) -> FoldingConstraint:
    where, layer = f"{path}:{key.start_mark.line + 1}", str(key.value)
    if not isinstance(value, yaml.MappingNode):
        raise _shape(where)
    _refuse_duplicates(value, path, f"`{{}}` of layer `{layer}`")
    return FoldingConstraint(
        layer, {str(name.value): _value(one, where) for name, one in value.value}, where
    )


def _value(node: yaml.Node, where: str) -> Value:
    try:  # a quoted value is read as well: "4" is a number of lanes
        found = load_yaml(str(node.value), where) if isinstance(node, yaml.ScalarNode) else None
    except (yaml.YAMLError, ValueError) as error:
        raise _shape(where) from error
    if isinstance(found, bool) or not isinstance(found, int | str):
        raise _shape(where)
    return found


def _refuse_duplicates(node: yaml.MappingNode, path: Path, kind: str) -> None:
    first: dict[str, int] = {}
    for key, _ in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in first:
            raise FoldingError(
                f"duplicate key in the folding file: {kind.format(name)}",
                where=f"{path}:{line}",
                why=f"it is already given in line {first[name]}",
                do="keep one of them",
            )
        first[name] = line


def _shape(where: str) -> FoldingError:
    return FoldingError(
        "a folding file maps layers to numbers and styles",
        where=where,
        do="write lines such as `fc1_mvau: {PE: 4, SIMD: 16}`",
    )


def files_of(constraints: Sequence[FoldingConstraint]) -> str:
    """The files the constraints come from, as a message names them; empty without constraints."""
    files = sorted({constraint.where.rpartition(":")[0] for constraint in constraints})
    return " and ".join(f"`{file}`" if file else "the folding file" for file in files)


def restrict(
    groups: Sequence[LayerGroup], constraints: Sequence[FoldingConstraint]
) -> list[LayerGroup]:
    """The groups with only those options left that meet every constraint.

    Raises:
        FoldingError: a layer or key is unknown, or a value is not legal; names the nearest legal
            ones.
    """
    restricted = {group.name: group for group in groups}
    owner = {layer: group.name for group in groups for layer in group.options[0].attributes}
    for constraint in constraints:
        if constraint.layer not in owner:
            near = get_close_matches(constraint.layer, owner, 1)
            raise FoldingError(
                f"there is no layer `{constraint.layer}`",
                where=constraint.where,
                do=f"did you mean `{near[0]}`?" if near else f"layers: {', '.join(sorted(owner))}",
            )
        group = restricted[owner[constraint.layer]]
        left = [option for option in group.options if _meets(option, constraint)]
        if not left:
            raise _refusal(group, constraint)
        restricted[group.name] = LayerGroup(group.name, left)
    return list(restricted.values())


def write_folding(path: Path, attributes: Mapping[str, Mapping[str, Value]]) -> None:
    """Write a folding as a file that `read_folding` reads."""
    lines = ["# Folding: cycles per vector are (MW / SIMD) * (MH / PE)."]
    for layer, values in attributes.items():
        given = ", ".join(f"{key}: {value}" for key, value in values.items())
        lines.append(f"{layer}: {{{given}}}")
    write_text(path, "\n".join(lines) + "\n")


def _meets(option: Option, constraint: FoldingConstraint) -> bool:
    values = option.attributes[constraint.layer]
    return all(values.get(key) == value for key, value in constraint.values.items())


def _refusal(group: LayerGroup, constraint: FoldingConstraint) -> FoldingError:
    for key, value in constraint.values.items():
        legal = {option.attributes[constraint.layer].get(key) for option in group.options} - {None}
        if not legal:
            keys = sorted({key for o in group.options for key in o.attributes[constraint.layer]})
            return FoldingError(
                f"layer `{constraint.layer}` has no `{key}`",
                where=constraint.where,
                do=f"it takes {', '.join(keys)}",
            )
        if value not in legal:
            return FoldingError(
                f"layer `{constraint.layer}` cannot have {key} {value}",
                where=constraint.where,
                why=f"legal are {', '.join(map(str, sorted(legal, key=_order)))}",
                do=f"the nearest is {key} {_nearest(value, legal)}",
            )
    return FoldingError(
        f"layer `{constraint.layer}` cannot have all of this at once: {dict(constraint.values)}",
        where=constraint.where,
        why="each value is legal, but not together with the others",
        do="leave one of them out",
    )


def _order(value: Value | None) -> tuple[bool, int, str]:
    return (isinstance(value, str), value if isinstance(value, int) else 0, str(value))


def _nearest(value: Value, legal: set[Value | None]) -> Value | None:
    numbers = [one for one in legal if isinstance(one, int)]
    if isinstance(value, int) and numbers:
        return min(numbers, key=lambda one: (abs(one - value), one))
    return min(legal, key=_order)

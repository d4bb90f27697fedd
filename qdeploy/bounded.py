"""Reading text that may come from anywhere: its size, depth and aliases are bounded first.

A few bytes of YAML or JSON can nest a thousand levels deep, which ends Python's stack, or repeat
one alias until it fills the memory. What is read here is refused before that, with `ValueError`s
and YAML's own errors, which every reader turns into a message that names the file.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

MAX_JSON_BYTES = 1 << 26
MAX_YAML_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_YAML_NODES = 20_000
_BIG = 1 << 64
# Strings, with their escapes, or one bracket.
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


class TooMuchError(yaml.YAMLError, ValueError):
    """Text that is larger or deeper than anything this program writes or reads."""


def read_bounded(path: Path, most: int) -> str:
    """The text of a file.

    Raises:
        OSError: it cannot be read.
        TooMuchError: it has more than `most` bytes.
        UnicodeDecodeError: it is no UTF-8.
    """
    return read_some(path, most).decode("utf-8")


def read_json(path: Path) -> Any:
    """The data of a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is too large, nested too deeply, or no JSON.
    """
    return parse_json(read_bounded(path, MAX_JSON_BYTES))


def parse_json(text: str) -> Any:
    """As `read_json`, from a text."""
    depth = 0
    for token in _JSON_TOKEN.finditer(text):
        sign = token.group()
        depth += (sign in "[{") - (sign in "]}")
        if depth > MAX_DEPTH:
            raise TooMuchError(f"it is nested more than {MAX_DEPTH} levels deep")
    return _checked(json.loads(text))


def read_some(path: Path, most: int) -> bytes:
    """The bytes of a file that has `most` at most.

    Raises:
        OSError: it cannot be read.
        TooMuchError: it has more.
    """
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise TooMuchError(f"it has more than {most:,} bytes")
    return data


def is_named_file(path: Path) -> bool:
    """Whether a path that was made of a name in some file is that of a file.

    `Path.is_file` raises for names that no file can have, such as those of 300 letters.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _checked(data: Any) -> Any:
    """JSON data whose texts can be written, whose integers have 64 bits at most, and whose other
    numbers are finite."""
    if isinstance(data, str):
        data.encode("utf-8")  # a lone half of a pair of surrogates is no text
    elif isinstance(data, int) and abs(data) >= _BIG:
        raise TooMuchError("it holds an integer of more than 64 bits")
    elif isinstance(data, float) and not math.isfinite(data):
        raise TooMuchError("it holds a number that is not finite")
    elif isinstance(data, list):
        for item in data:
            _checked(item)
    elif isinstance(data, dict):
        for key, value in data.items():
            key.encode("utf-8")
            _checked(value)
    return data


def compose_yaml(text: str, name: str) -> yaml.Node | None:
    """The root node of a YAML text, None for an empty one.

    Args:
        name: of the file, for the marks of its nodes.

    Raises:
        yaml.YAMLError: it is no YAML, too large, nested too deeply, or its aliases expand to more
            than `MAX_YAML_NODES` nodes.
    """
    if len(text) > MAX_YAML_BYTES:
        raise TooMuchError(f"it has more than {MAX_YAML_BYTES:,} characters")
    depth = 0
    events = yaml.SafeLoader(text)
    events.name = name
    while events.check_event():
        event = events.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise TooMuchError(f"it is nested more than {MAX_DEPTH} levels deep")
    loader = yaml.SafeLoader(text)
    loader.name = name
    root: yaml.Node | None = loader.get_single_node()
    if root is not None and _expanded(root, {}, ()) > MAX_YAML_NODES:
        raise TooMuchError(f"its aliases expand to more than {MAX_YAML_NODES:,} values")
    return root


def load_yaml(text: str, name: str) -> Any:
    """The data of a YAML text; errors as `compose_yaml`, ValueError for a value that is none."""
    root = compose_yaml(text, name)
    return None if root is None else construct_yaml(root)


def construct_yaml(root: yaml.Node) -> Any:
    """The data of a YAML tree.

    Raises:
        yaml.YAMLError, ValueError: a value is none of its kind, such as the thirteenth month.
    """
    try:
        return yaml.SafeLoader("").construct_document(root)
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        # What PyYAML ends with on values such as `!!timestamp x` or `!!bool x`.
        raise ValueError(f"a value is none of its kind ({error})") from error


def _expanded(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Nodes of a tree with its aliases written out; one that contains itself counts once."""
    if id(node) in above:
        return 1
    if id(node) not in known:
        size = 1
        if isinstance(node, yaml.CollectionNode):
            for child in node.value:
                for one in child if isinstance(child, tuple) else (child,):
                    size += _expanded(one, known, (*above, id(node)))
        known[id(node)] = size
    return known[id(node)]

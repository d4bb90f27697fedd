"""Text from anywhere: size, depth and aliases are bounded before it is read."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qdeploy.bounded import (
    MAX_DEPTH,
    TooMuchError,
    compose_yaml,
    is_named_file,
    load_yaml,
    parse_json,
    read_bounded,
    read_json,
)

LONG = "n" * 300
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{b: *a{n - 1}, c: *a{n - 1}, d: *a{n - 1}}}\n" for n in range(1, 20)
)


@pytest.mark.parametrize(
    "text",
    ["[" * 900, "[" * 900 + "]" * 900, "- " * 500 + "x", "{a: " * 900, LAUGHS, MERGED_LAUGHS],
)
def test_yaml_that_would_end_the_stack_or_the_memory_is_refused_in_a_second(text: str) -> None:
    start = time.monotonic()
    with pytest.raises(yaml.YAMLError):
        compose_yaml(text, "file")
    assert time.monotonic() - start < 2


def test_aliases_that_stay_small_are_read() -> None:
    assert load_yaml("a: &one [1, 2]\nb: *one\n", "file") == {"a": [1, 2], "b": [1, 2]}
    assert load_yaml("", "file") is None


def test_an_alias_inside_itself_ends() -> None:
    assert compose_yaml("a: &a [*a]\n", "file") is not None


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 50 + "]" * 50])
def test_deep_json_is_refused(text: str) -> None:
    with pytest.raises(TooMuchError, match="deep"):
        parse_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_any_other_json_is_read_as_it_is(data: object) -> None:
    """Brackets, quotes and backslashes inside of texts do not count."""
    assert parse_json(json.dumps(data)) == data


@pytest.mark.parametrize("text", ['{"a": 1' + "0" * 30 + "}", '["\\ud800"]', '{"\\udfff": 1}'])
def test_numbers_and_texts_that_nothing_holds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"64 bits|surrogates"):
        parse_json(text)


def test_brackets_in_a_text_are_no_depth() -> None:
    text = json.dumps({"a": "[" * 10 * MAX_DEPTH + '\\"{'})
    assert parse_json(text)["a"].startswith("[[")


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}
    with pytest.raises(TooMuchError, match="more than 4 bytes"):
        read_bounded(path, 4)


def test_a_name_that_no_file_can_have_is_that_of_none(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("x")
    names = ("there", "absent", LONG, f"{LONG}/x", "x/" * 3000, "a\0b", "there/x", "", "\ud800")
    assert [name for name in names if is_named_file(tmp_path / name)] == ["there"]

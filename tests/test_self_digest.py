"""A JSON object knows its own content again."""

from __future__ import annotations

import hashlib
import json

import pytest

from qdeploy.self_digest import content_digest, is_intact, with_digest

DATA = {"b": [1, 2.5, None, True], "a": {"ü": "x", "n": 1e-7}, "text": "line\nbreak"}


def test_what_was_written_and_read_back_is_intact() -> None:
    made = with_digest(DATA)
    assert list(made)[-1] == "digest"
    for indent in (None, 2):
        assert is_intact(json.loads(json.dumps(made, indent=indent)))


def test_the_order_of_keys_does_not_count_and_an_old_digest_neither() -> None:
    turned = dict(reversed(with_digest(DATA).items()))
    assert is_intact(turned)
    assert with_digest({**DATA, "digest": "old"}) == with_digest(DATA)


@pytest.mark.parametrize(
    "change", [{"b": [1, 2.5, None, False]}, {"more": 0}, {"digest": ""}, {"a": {"ü": "x"}}]
)
def test_any_other_content_is_not(change: dict) -> None:
    assert not is_intact({**with_digest(DATA), **change})


def test_without_a_digest_nothing_is_intact() -> None:
    assert not is_intact(DATA)
    assert not is_intact({})


def test_the_digest_is_over_sorted_keys_without_spaces() -> None:
    text = b'{"a":1,"b":"x"}'
    assert content_digest({"b": "x", "a": 1}) == hashlib.sha256(text).hexdigest()

"""docs/troubleshooting.md: its titles are messages of the sources."""

from __future__ import annotations

import re
from pathlib import Path

from error_messages import HOLE, texts_in, texts_of_the_package

import qdeploy

PAGE = Path(qdeploy.__file__).resolve().parent.parent / "docs/troubleshooting.md"


def test_every_title_is_a_message() -> None:
    titles = re.findall(r"^### (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(titles) > 25
    known = texts_of_the_package()
    assert [title for title in titles if title not in known] == []


def test_a_text_with_values_is_read_as_it_is_written() -> None:
    source = 'x = f"layer `{name}` has {1 + 2:,} bits" "; both"\ny = "plain"'
    assert texts_in(source) == [f"layer `{HOLE}` has {HOLE} bits; both", "plain"]

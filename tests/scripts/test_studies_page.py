"""The study on the page about studies (docs/studies.md) is one as it stands there."""

from __future__ import annotations

from pathlib import Path

from fenced import ROOT, blocks_of

from qdeploy.study.reading import open_study


def test_the_complete_study_of_the_page_is_one(tmp_path: Path) -> None:
    (text,) = [
        block.text
        for block in blocks_of(ROOT / "docs/studies.md")
        if block.language == "yaml" and block.first.startswith("title")
    ]
    (tmp_path / "widths.yaml").write_text(text, encoding="utf-8")
    opened = open_study(str(tmp_path / "widths.yaml"))
    assert list(opened.study.networks) == ["digits"]
    assert [*opened.study.variants] == ["float", "plain", "both"]

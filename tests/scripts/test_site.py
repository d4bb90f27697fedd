"""The documentation builds as a site without a warning, and reading it fetches nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import qdeploy

ROOT = Path(qdeploy.__file__).resolve().parent.parent
# What a browser loads by itself: scripts, style sheets, images, fonts.
LOADED = re.compile(
    r"""(?:<(?:script|img|source|iframe)\b[^>]*\bsrc=|<link\b[^>]*rel="(?:stylesheet|icon|preload)"[^>]*href=|"""
    r"""url\(|@import )\s*["']?(https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        ["scripts/docs", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_every_page_is_there_and_in_the_navigation(site: Path) -> None:
    navigation = (site / "docs/index.html").read_text(encoding="utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert (site / "docs" / page.with_suffix(".html").name).is_file()
        assert page.stem == "index" or f'href="{page.stem}.html"' in navigation


def test_the_reference_has_what_docstrings_say(site: Path) -> None:
    reference = (site / "docs/api.html").read_text(encoding="utf-8")
    for name in set(qdeploy.__all__) - {"__version__"}:
        assert f'id="qdeploy.{name}"' in reference
    assert "Raises" in reference


def test_reading_it_fetches_nothing(site: Path) -> None:
    assert LOADED.search('<script src="https://x.org/a.js">') and LOADED.search("url(//x.org/a)")
    files = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(files) > 20
    assert [one.name for one in files if LOADED.search(one.read_text(encoding="utf-8"))] == []


def test_a_link_to_nowhere_is_an_error(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    (copy / "docs").mkdir()
    shutil.copy(ROOT / "docs/conf.py", copy / "docs")
    (copy / "docs/index.md").write_text("# Guide\n\n[there](nowhere.md)\n", encoding="utf-8")
    (copy / ".venv").symlink_to(ROOT / ".venv")
    done = subprocess.run([copy / "scripts/docs"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr

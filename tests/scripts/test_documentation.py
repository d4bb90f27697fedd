"""The documentation is held to the code: the recipe reference, its examples, and every link."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import qdeploy
from qdeploy.recipe.loading import load_recipe

ROOT = Path(qdeploy.__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")])


def test_recipe_reference_is_what_the_models_say() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/recipe_reference.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", ["recipes.md", "training.md"])
def test_examples_in_the_guide_are_valid_recipes_of_a_checkout(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    assert examples
    (tmp_path / "models").symlink_to(ROOT / "models")
    for example in examples:
        (tmp_path / "recipe.yaml").write_text(example, encoding="utf-8")
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []

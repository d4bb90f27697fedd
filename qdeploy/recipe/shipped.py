"""The recipes that come with qdeploy, by name: in a wheel they are where nobody would look."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qdeploy.errors import RecipeError, did_you_mean
from qdeploy.resources import resource

_FOLDER = "models"
# Folders of what recipes share, and of studies.
_OTHERS = {"common", "studies"}
_TABLES = "tables.yaml"


@dataclass(frozen=True)
class Shipped:
    """A recipe that comes with qdeploy.

    Args:
        name: as commands take it, such as `quickstart/digits_fcdnn_w2a2`.
        path: of its file.
    """

    name: str
    path: Path

    @property
    def title(self) -> str:
        """The sentence that its file begins with, empty where it has none."""
        words: list[str] = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            words += line.lstrip("# ").split()
        sentence, dot, _ = " ".join(words).partition(". ")
        return sentence + dot.strip()


def shipped_recipes() -> list[Shipped]:
    """All of them, sorted by name."""
    root = resource(_FOLDER)
    files = (one for one in root.rglob("*.yaml") if one.name != _TABLES)
    return sorted(
        (
            Shipped(one.relative_to(root).with_suffix("").as_posix(), one)
            for one in files
            if _OTHERS.isdisjoint(one.relative_to(root).parts)
        ),
        key=lambda one: one.name,
    )


def recipe_file(given: Path) -> Path:
    """The file of a recipe that is named by its path, or by its name where it comes with qdeploy.

    Raises:
        RecipeError: there is neither.
    """
    if given.exists():
        return given
    known = {one.name: one.path for one in shipped_recipes()}
    name = given.as_posix().removeprefix(f"{_FOLDER}/").removesuffix(".yaml")
    if name in known:
        return known[name]
    raise RecipeError(
        f"there is no recipe `{given}`{did_you_mean(name, known)}",
        where=str(given),
        do="give the path of a file, or one of the names that `qdeploy recipes` lists",
    )

"""Reading study files: those that come with qdeploy by name, others by path."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from qdeploy.errors import RecipeError, StudyError, did_you_mean
from qdeploy.recipe.yaml_tree import construct, lines_by_key, read_nodes
from qdeploy.resources import resource
from qdeploy.study.files import Opened, Study

FOLDER = "models/studies"


def shipped_studies() -> dict[str, Path]:
    """Name -> file of the studies that come with qdeploy."""
    return {path.stem: path for path in sorted(resource(FOLDER).glob("*.yaml"))}


def open_study(given: str) -> Opened:
    """The study of a name or a path.

    Raises:
        StudyError: there is none, or the file is not one; with its line and key.
    """
    known = shipped_studies()
    path = known.get(given)
    if path is None:
        path = Path(given)
        if not path.is_file():
            raise StudyError(
                f"there is no study `{given}`{did_you_mean(given, known)}",
                where=given,
                do=f"give the path of a study file, or one of: {', '.join(known)}",
            )
    try:
        root = read_nodes(path)
        data, lines = construct(root, path), lines_by_key(root)
    except RecipeError as error:
        what = error.what.replace("the recipe", "the study")
        do = "look at one of the studies in models/studies"
        raise StudyError(what, where=error.where, why=error.why, do=do) from error
    where = {".".join(str(part) for part in keys): line for keys, line in lines.items()}
    try:
        study = Study.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
        # A name that is wrong explains one that is missing.
        first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
        keys = [str(part) for part in first["loc"]]
        dotted = ".".join(keys)
        if first["type"] == "extra_forbidden":
            what, do = f"unknown key `{dotted}`", "remove it, or correct its name"
        elif first["type"] == "missing":
            what, do = f"`{dotted}` is missing", "add it"
        else:
            text = str(first["msg"]).removeprefix("Value error, ")
            what = f"`{dotted}`: {text}" if dotted else text
            do = "change the study"
            if not dotted and text.partition(": ")[0] in where:
                dotted = text.partition(": ")[0]  # the section, which such a message begins with
        near = Opened(path.stem, path, Study.model_construct(), where).line(dotted)
        raise StudyError(what, where=near.removesuffix(" ()"), do=do) from error
    return Opened(path.stem, path, study, where)

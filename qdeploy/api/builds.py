"""What the functions about builds take for a build."""

from __future__ import annotations

from pathlib import Path

from qdeploy.build.build import Build
from qdeploy.errors import UserError

AnyBuild = Build | Path | str


def folder_of(build: AnyBuild) -> Path:
    """The folder of a build.

    Raises:
        UserError: it is none.
    """
    if isinstance(build, Build):
        return build.folder
    if isinstance(build, str | Path):
        return Path(build)
    raise UserError(
        f"a {type(build).__name__} is no build",
        do="give what `qdeploy.export` returns, or the path of a build folder",
    )

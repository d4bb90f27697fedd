"""Reading a build's JSON files for people: an absent one is no error, a damaged one is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qdeploy.errors import UserError


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, None when there is no such file.

    Raises:
        UserError: it cannot be read, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise UserError(
            f"`{path.name}` cannot be read",
            where=str(path),
            why=str(error),
            do="run `qdeploy export` again",
        ) from error
    if not isinstance(data, dict):
        raise UserError(f"`{path.name}` holds no JSON object", where=str(path))
    return data

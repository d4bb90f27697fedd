"""Where the files beside the package are: recipes, hardware sources, package templates.

In a checkout they are the top-level folders `models/`, `hw/` and `export/`; in a wheel the same
folders lie inside the package. Everything asks here, so both work alike.
"""

from __future__ import annotations

from pathlib import Path

from qdeploy.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


def resource(relative: str) -> Path:
    """Absolute path of a file or folder such as `hw/rtl` or `models/quickstart/x.yaml`.

    Raises:
        InternalError: when neither the checkout nor the wheel has it.
    """
    for root in (_PACKAGE / "_resources", _PACKAGE.parent):
        candidate = root / relative
        if candidate.exists():
            return candidate
    raise InternalError(
        f"the file `{relative}` is not part of this installation",
        where=str(_PACKAGE),
        do="reinstall qdeploy; if that does not help, report it",
    )

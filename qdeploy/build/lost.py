"""What a build had and now lacks: its trained run, its netlist. Their rungs fail, with the name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdeploy.artifacts import sha256
from qdeploy.bounded import is_named_file
from qdeploy.build.digests import FILES
from qdeploy.build.options import Options, read_build_file, reading
from qdeploy.build.source import RUN
from qdeploy.build_folder import NETLIST_PATH, RECIPE_FILE


def lost_levels(folder: Path, options: Options) -> dict[str, str]:
    """Rung -> why its level is not the one that the build had.

    Raises:
        UserError: the folder holds no complete build.
    """
    with reading(folder):
        record = read_build_file(folder)
        source = dict(record.get("source", {}))
        digests = dict(source.get(FILES, {}))
    # Before sources were recorded, a build of a run was known by the copy of its recipe.
    earlier = RUN if (folder / RECIPE_FILE).is_file() else None
    of_run = source.get("kind", earlier) == RUN
    reasons = {
        "torch": _run_gone(options.source, digests) if of_run else "",
        "netlist layer": _netlist_gone(folder, record),
        "netlist": _netlist_gone(folder, record),
    }
    return {rung: reason for rung, reason in reasons.items() if reason}


def _run_gone(run: Path, digests: Mapping[str, str]) -> str:
    if not run.is_dir():
        return f"the run `{run}`, which the build was made of, is missing"
    for name, digest in digests.items():
        # A record from elsewhere reaches no file outside of the run.
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        path = run / name if inside else run / Path(name).name
        if not is_named_file(path):
            return f"`{name}` of the run `{run}`, which the build was made of, is missing"
        if sha256(path) != digest:
            return (
                f"`{name}` of the run `{run}` is not the one that the build was made of: the run "
                "was trained further or edited since"
            )
    return ""


def _netlist_gone(folder: Path, record: Mapping[str, Any]) -> str:
    if not record.get("synthesized") or (folder / NETLIST_PATH).is_file():
        return ""
    return f"the build was synthesized, and `{NETLIST_PATH}` is missing"

"""Which design a netlist was synthesized from, so that it never stands for another one."""

from __future__ import annotations

from pathlib import Path

from qdeploy.artifacts import write_json
from qdeploy.bounded import read_json
from qdeploy.build_folder import NETLIST_ORIGIN_PATH, RTL_FOLDER
from qdeploy.design.digests import design_digests
from qdeploy.design.manifest import Design

_DESIGN = "design"


def write_origin(folder: Path, design: Design) -> None:
    """Record the digests of the design in `rtl/` beside the netlist that was just made of it."""
    digests = design_digests(folder / RTL_FOLDER, design)
    write_json(folder / NETLIST_ORIGIN_PATH, {_DESIGN: digests})


def other_than_origin(folder: Path, design: Design) -> str | None:
    """Why the netlist is not that of the design in `rtl/`, None when it is, or when an earlier
    version of qdeploy made it, which did not record that."""
    path = folder / NETLIST_ORIGIN_PATH
    if not path.is_file():
        return None
    try:
        recorded = dict(read_json(path)[_DESIGN])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"`{NETLIST_ORIGIN_PATH}` cannot be read: {error}"
    now = design_digests(folder / RTL_FOLDER, design)
    other = sorted(name for name in {*now, *recorded} if now.get(name) != recorded.get(name))
    if not other:
        return None
    more = f" and {len(other) - 1} more files" if len(other) > 1 else ""
    return f"the netlist was synthesized from another `{RTL_FOLDER}/{other[0]}`{more}"

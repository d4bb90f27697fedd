"""Whether the package of a build is the one that its proven files give.

The target makes it again from the build, in a temporary folder, and the two are compared file by
file: hardware, driver, golden frames (their results computed anew from the integer graph) and what
the bundle says. Only what made it, `provenance`, may differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdeploy.artifacts import sha256
from qdeploy.bounded import read_json
from qdeploy.build_folder import C_FOLDER, INT_FILE, PACKAGE_FOLDER, RTL_FOLDER, read_design
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.npz import npz_names, read_npz
from qdeploy.scratch import scratch_folder
from qdeploy.self_digest import DIGEST, is_intact
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.target import Target
from qdeploy.verify.frames import Frames
from qdeploy.verify.performance import read_cycles, read_latency

# Of a bundle, what may be of another time, and what follows from it.
_OF_ITS_TIME = ("provenance", "files", DIGEST)
# Compressed archives: their content counts.
_ARCHIVES = (".npz",)


def package_problems(
    folder: Path,
    target: Target,
    graph: IntegerGraph,
    frames: Frames,
    *,
    rtl_frames: int,
    board: str | None,
    source: Mapping[str, Any],
) -> list[str]:
    """What is wrong with the package of a build, in sentences; nothing when it is right.

    Args:
        folder: the build folder.
        frames: those that the build was verified with.
        rtl_frames: how many of them ran in RTL.
        board: name or file of its board, None for a target without boards.
        source: of `build.json`: the names of the classes and the width of an input code.

    Raises:
        QDeployError: the target cannot make the package again.
    """
    package = folder / PACKAGE_FOLDER
    if not package.is_dir():
        return [f"`{PACKAGE_FOLDER}/` is missing"]
    with scratch_folder("package") as again:
        for item in (RTL_FOLDER, C_FOLDER, INT_FILE):
            if (folder / item).exists():
                (again / item).symlink_to((folder / item).resolve())
        target.package(
            FinishedBuild(
                folder=again,
                graph=graph,
                classes=tuple(source.get("classes", ())),
                input_bits=int(source.get("input_bits", 8)),
                proven=True,
                frames=frames,
                rtl_frames=rtl_frames,
                board=None if board is None else load_board(board),
                design=read_design(folder) if (folder / RTL_FOLDER).is_dir() else None,
                cycles_per_frame=read_cycles(folder),
                latency_cycles=read_latency(folder),
            )
        )
        return _differences(package, again / PACKAGE_FOLDER, target.use_leaves)


def _differences(package: Path, again: Path, leaves: tuple[str, ...]) -> list[str]:
    here, there = _names(package, leaves), _names(again, leaves)
    problems = [f"`{PACKAGE_FOLDER}/{name}` is missing" for name in sorted(there - here)]
    problems += [
        f"`{PACKAGE_FOLDER}/{name}` does not belong to it" for name in sorted(here - there)
    ]
    for name in sorted(here & there):
        why = _difference(package / name, again / name)
        if why is not None:
            problems.append(f"`{PACKAGE_FOLDER}/{name}` {why}")
    return problems


def _names(folder: Path, leaves: tuple[str, ...]) -> set[str]:
    """Files of a package, without those that come of using it."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {
        name
        for name in names
        if not name.startswith(leaves) and "__pycache__" not in name.split("/")
    }


def _difference(one: Path, other: Path) -> str | None:
    if sha256(one) == sha256(other):
        return None
    if one.suffix in _ARCHIVES:
        return _of_arrays(one, other)
    if one.suffix == ".json":
        return _of_records(one, other)
    return "is not what the build gives"


def _of_arrays(one: Path, other: Path) -> str | None:
    import numpy as np

    try:
        here, there = sorted(npz_names(one)), sorted(npz_names(other))
        if here != there:
            return f"holds {', '.join(here)}, not {', '.join(there)}"
        for name in there:
            left, right = (read_npz(path, [name])[0] for path in (one, other))
            if not np.array_equal(left, right):
                return f"has other `{name}` than the integer graph gives"
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    return None


def _of_records(one: Path, other: Path) -> str | None:
    try:
        left, right = read_json(one), read_json(other)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"
    if not isinstance(left, dict) or not isinstance(right, dict):
        return None if left == right else "is not what the build gives"
    if DIGEST in right and not is_intact(left):
        return "has been edited: its digest is not that of its content"
    for key in right:
        if key not in _OF_ITS_TIME and left.get(key) != right[key]:
            return f"has another `{key}` than the build gives"
    return None

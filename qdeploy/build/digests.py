"""The digests of a build: of every file that a verification uses or that stands for something.

`build.json` holds them, and the digest of its own content. Not among them is what is written anew
later (`verify.json`, `report.html`), what says how a tool ran (logs), and what a person adds,
except for hardware sources in `rtl/`: tools find those by themselves.

Builds made by earlier versions have digests of their networks only, which `FilesCheck.unrecorded`
says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from qdeploy.artifacts import sha256
from qdeploy.bounded import is_named_file
from qdeploy.build.options import read_build_file, reading
from qdeploy.build_folder import (
    BUILD_FILE,
    C_FOLDER,
    DESIGN_PATH,
    FRAMES_FILE,
    PACKAGE_FOLDER,
    REPORT_FILE,
    RTL_FOLDER,
    SYNTH_FOLDER,
    VERIFY_FILE,
    read_design,
)
from qdeploy.errors import QDeployError, VerificationError
from qdeploy.self_digest import is_intact
from qdeploy.verify.frames import Frames, load_frames

FILES = "files"
CHANGED, MISSING, FOREIGN = "has changed since", "is missing", "is none of its files"
_REWRITTEN = {BUILD_FILE, VERIFY_FILE, REPORT_FILE}
_LOG = ".log"
# What Verilator, Yosys or Vivado take from the folder of a design.
_HARDWARE = {".v", ".sv", ".vh", ".svh", ".hex", ".mem"}
# Named in a message; the rest is counted.
_NAMED = 5


def take_digests(folder: Path) -> dict[str, str]:
    """Name -> hex SHA-256 of every file of a build that is complete but for `build.json`."""
    return {name: sha256(folder / name) for name in _files(folder)}


@dataclass(frozen=True)
class FilesCheck:
    """What comparing a build with its digests has found.

    Args:
        folder: the build folder.
        checked: how many files have a digest.
        wrong: name -> what is wrong with it, in the order of their names.
        unrecorded: files and folders that a build of an earlier version has no digests of.
        why: more about the first of them, where it is known.
    """

    folder: Path
    checked: int
    wrong: Mapping[str, str]
    unrecorded: tuple[str, ...] = ()
    why: str = ""

    @property
    def stops(self) -> bool:
        """Whether the ladder has nothing to stand on.

        With hardware, netlist or package changed it still runs, to say what the change does.
        """
        return not all(
            (name.startswith(f"{RTL_FOLDER}/") and name != str(DESIGN_PATH) and fate != MISSING)
            or (name.startswith(f"{C_FOLDER}/") and fate != MISSING)
            or name.startswith((f"{SYNTH_FOLDER}/", f"{PACKAGE_FOLDER}/"))
            for name, fate in self.wrong.items()
        )

    def error(self) -> VerificationError | None:
        """The failure that names the files, None when all are as they were made."""
        if not self.wrong:
            return None
        named = [f"`{name}` {fate}" for name, fate in self.wrong.items()]
        if len(named) == 1:
            name, fate = next(iter(self.wrong.items()))
            what = f"`{name}` of the build `{self.folder}` {fate}"
        else:
            rest = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            what = (
                f"{len(named)} files of the build `{self.folder}` are not as they were made: "
                f"{', '.join(named[:_NAMED])}{rest}"
            )
        reason = f"{BUILD_FILE} holds the digest of what the accelerator was made of and proven by"
        return VerificationError(
            what,
            where=str(self.folder / next(iter(self.wrong))),
            why=f"{self.why}; {reason}" if self.why else reason,
            do="put the file back, or run `qdeploy export` again",
        )

    def record(self) -> dict[str, Any]:
        """As in `verify.json`."""
        found: dict[str, Any] = {"checked": self.checked, "wrong": dict(self.wrong)}
        return {**found, "unrecorded": list(self.unrecorded)} if self.unrecorded else found


def check_files(folder: Path) -> FilesCheck:
    """Compare the files of a build with the digests in its `build.json`.

    Raises:
        UserError: the folder holds no complete build.
    """
    with reading(folder):
        record = read_build_file(folder)
        digests: dict[str, str] = dict(record[FILES])
        for name in digests:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"`{name}` is not a path inside the folder")
        kept = record.get("frames_kept")
    # Of all those digests, earlier versions had only those of the networks.
    earlier = FRAMES_FILE not in digests and not _under(digests, PACKAGE_FOLDER)
    wrong: dict[str, str] = {}
    if not is_intact(record) and not earlier:
        wrong[BUILD_FILE] = CHANGED
    for name, digest in sorted(digests.items()):
        path = folder / name
        if not is_named_file(path):
            wrong[name] = MISSING
        elif sha256(path) != digest:
            wrong[name] = CHANGED
    for name in _foreign_hardware(folder, digests):
        wrong[name] = FOREIGN
    return FilesCheck(
        folder,
        checked=len(digests),
        wrong=wrong,
        unrecorded=_unrecorded(folder, digests) if earlier else (),
        why=_of_frames(folder, kept) if next(iter(wrong), "") == FRAMES_FILE else "",
    )


def _files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in _REWRITTEN and path.suffix != _LOG:
            yield name


def _under(names: Mapping[str, str], folder: str) -> list[str]:
    return [name for name in names if name.startswith(f"{folder}/")]


def _foreign_hardware(folder: Path, digests: Mapping[str, str]) -> Iterator[str]:
    """Sources and memory files in `rtl/` that the build did not put there."""
    known = set(_under(digests, RTL_FOLDER))
    if not known and (folder / DESIGN_PATH).is_file():
        try:
            design = read_design(folder)
        except QDeployError:
            return  # the ladder says so
        known = {f"{RTL_FOLDER}/{name}" for name in (*design.sources, *design.memories)}
    for path in sorted((folder / RTL_FOLDER).rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() in _HARDWARE and path.is_file() and name not in known:
            yield name


def _unrecorded(folder: Path, digests: Mapping[str, str]) -> tuple[str, ...]:
    tops = (name.split("/")[0] for name in _files(folder) if name not in digests)
    return tuple(dict.fromkeys(tops))


def _of_frames(folder: Path, kept: object) -> str:
    """What is wrong with frames whose digest is another."""
    try:
        frames = load_frames(folder)
    except QDeployError as error:
        return error.why or error.what
    return _difference(frames, kept)


def _difference(frames: Frames, kept: object) -> str:
    count = len(frames.codes)
    if isinstance(kept, int) and count != kept:
        return f"it holds {count:,} frames, the build was verified with {kept:,}"
    if not frames.codes.any():
        return "every code of its frames is zero"
    return "these are not the frames that the build was verified with"

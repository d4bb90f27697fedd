"""A whole build of which a file was changed and the digests made right, as it may come from anyone:
what `qdeploy verify` makes of it."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path

from bad_files import SmallNetwork
from damage import Kind
from damage_values import Change, json_changed, onnx_changed

from qdeploy.artifacts import sha256
from qdeploy.build.build import build
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.build_folder import BUILD_FILE, INT_FILE
from qdeploy.self_digest import with_digest
from qdeploy.verify.ladder import RUNGS

# Those that need no program.
_RUN = ("int", "memories")


@functools.cache
def _built() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="damaged-verify-"))
    options = Options(
        SmallNetwork().save(folder / "small.onnx"),
        frames=4,
        rtl_frames=2,
        synthesis=False,
        fifo_depths="analytic",
        skip=tuple(name for name in RUNGS if name not in _RUN),
        cache=folder / "cache",
    )
    assert build(options, folder / "build").failure is None
    return folder / "build"


def copy(name: str, folder: Path) -> Path:
    """A copy of the build, of which the file `name` gets damaged; `*` stands for a suffix."""
    shutil.copytree(_built(), folder / "build")
    return max((folder / "build").glob(name))


def seal(path: Path) -> None:
    """The digests in `build.json` made those of the files."""
    root = next(one for one in path.parents if one.name == "build")
    try:
        record = json.loads((root / BUILD_FILE).read_bytes())
        if path.name != BUILD_FILE:
            record["files"][path.relative_to(root).as_posix()] = sha256(path)
        (root / BUILD_FILE).write_text(json.dumps(with_digest(record)))
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        pass  # it is refused before its digests are looked at


def check(path: Path) -> None:
    """Verify it, as far as no program has to run."""
    root = next(one for one in path.parents if one.name == "build")
    failure = verify(root, skip=tuple(name for name in RUNGS if name not in _RUN)).failure
    if failure is not None:
        raise failure


def _kind(name: str, file: str, count: int, change: Change | None = None) -> Kind:
    made = functools.partial(copy, file)
    return Kind(f"verify {name}", made, check, count, seal, needed=False, change=change)


KINDS = (
    _kind("options", BUILD_FILE, 20, json_changed),
    _kind("design", "rtl/design.json", 20, json_changed),
    _kind("memory", "rtl/*.hex", 10),
    _kind("wrapper", "rtl/*mvau.v", 10),
    _kind("top", "rtl/*_top.v", 10),
    _kind("integers", INT_FILE, 20, onnx_changed),
)

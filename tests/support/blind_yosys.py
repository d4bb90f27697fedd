"""A Yosys that does not see the folder for temporary files, as the one of PyPI."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

_TEXT = """#!/bin/sh
for word; do
    case "$word" in {hidden}/*) echo "ERROR: no file $word" >&2; exit 1 ;; esac
    if [ -f "$word" ] && grep -n '{hidden}/' "$word" >&2; then exit 1; fi
done
exec {yosys} "$@"
"""


def blind_yosys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put it on the PATH; `folder` is new. Its data files are still beside the real program."""
    yosys = Path(shutil.which("yosys") or "").resolve()
    program = folder / "bin/yosys"
    program.parent.mkdir(parents=True)
    hidden = Path(tempfile.gettempdir()).resolve()
    program.write_text(_TEXT.format(hidden=hidden, yosys=yosys), encoding="utf-8")
    program.chmod(0o755)
    (folder / "share").symlink_to(yosys.parent.parent / "share")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

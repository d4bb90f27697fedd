"""Folders for temporary files: private, plain, and gone with their process."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qdeploy.scratch import is_plain, scratch_folder

MAKER = """
import sys, time
from qdeploy.scratch import folder_of_process, scratch_folder
with scratch_folder("one") as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    print(folder_of_process("two"), flush=True)
    sys.stdin.read()
"""


def maker(tmp: Path) -> tuple[subprocess.Popen[str], list[Path]]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp)},
    )
    assert process.stdout is not None
    return process, [Path(process.stdout.readline().strip()) for _ in range(2)]


def test_folders_are_private_and_go_at_the_end(tmp_path: Path) -> None:
    process, folders = maker(tmp_path)
    for folder in folders:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.stat().st_uid == os.getuid()
    process.communicate("")
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_and_nothing_else(tmp_path: Path) -> None:
    others = [tmp_path / "qdeploy-notes", tmp_path / "qdeploy-one-0123456789abcdefg"]
    for folder in others:
        folder.mkdir()
    living, kept = maker(tmp_path)
    killed, left = maker(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert all(folder.is_dir() for folder in left)
    third, _ = maker(tmp_path)
    third.communicate("")
    assert sorted(tmp_path.iterdir()) == sorted([*others, *kept])
    living.communicate("")
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("name", ["with space", "semi;colon", "a#b", "a:b", "$(touch x)", "a\nb"])
def test_a_special_folder_for_temporary_files_is_not_used(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    special = tmp_path / name
    special.mkdir()
    assert not is_plain(special)
    monkeypatch.setattr("tempfile.tempdir", str(special))
    with scratch_folder("test") as folder:
        assert is_plain(folder)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()

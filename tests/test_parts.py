"""Parts of files and folders: whole or not there, whatever ends the process that writes them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qdeploy import parts
from qdeploy.artifacts import atomic_folder, atomic_path, write_text
from qdeploy.parts import remove_own, tidy

# Ends the process, as SIGKILL does, when it comes to call number N of one of these functions.
WRITER = """
import os, sys
from pathlib import Path
from qdeploy import artifacts, parts

folder, last, exchange = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "exchange"
calls = 0

def counted(function):
    def call(*arguments, **named):
        global calls
        if calls == last:
            os._exit(99)
        calls += 1
        return function(*arguments, **named)
    return call

if exchange:
    parts._exchange = counted(parts._exchange)
else:
    parts._exchange = lambda one, other: False
for name in ("mkdir", "open", "rename", "unlink", "rmdir", "fsync", "chmod"):
    setattr(os, name, counted(getattr(os, name)))
with artifacts.atomic_folder(folder / "build", durable=True) as part:
    (part / "a").write_text("new")
    (part / "b").write_text("new")
"""


def write(folder: Path, last: int, way: str) -> bool:
    """Replace the build of two files, up to system call `last`; whether it got to the end."""
    done = subprocess.run([sys.executable, "-c", WRITER, str(folder), str(last), way], check=False)
    assert done.returncode in (0, 99)
    return done.returncode == 0


def content(folder: Path) -> set[str]:
    return {path.read_text() for path in (folder / "build").iterdir()}


@pytest.mark.parametrize("way", ["exchange", "two renames"])
@pytest.mark.parametrize("before", [True, False])
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new_and_the_next_one_finds_it(
    tmp_path: Path, way: str, before: bool
) -> None:
    seen, recovered = set(), 0
    for last in range(200):
        folder = tmp_path / str(last)
        folder.mkdir()
        if before:
            (folder / "build").mkdir()
            (folder / "build" / "a").write_text("old")
            (folder / "build" / "b").write_text("old")
        complete = write(folder, last, way)
        recovered += before and not (folder / "build").exists()
        tidy(folder)
        found = content(folder) if (folder / "build").exists() else None
        assert found in ({"old"} if before else None, {"new"})
        seen.add(str(found))
        assert {path.name for path in folder.iterdir()} <= {"build"}
        if complete:
            assert found == {"new"}
            break
    else:
        pytest.fail("it never came to the end")
    assert len(seen) == 2  # both were met
    assert (recovered > 0) == (before and way == "two renames")


def test_an_aside_without_its_part_is_put_back(tmp_path: Path) -> None:
    aside = tmp_path / ".build.qdeploy-0123456789ab.old"
    aside.mkdir()
    (aside / "a").write_text("old")
    tidy(tmp_path)
    assert content(tmp_path) == {"old"}
    assert not aside.exists()


HOLDER = """
import sys, time
from pathlib import Path
from qdeploy.artifacts import atomic_folder, atomic_path
folder = Path(sys.argv[1])
with atomic_folder(folder / "build") as one, atomic_path(folder / "file") as other:
    (one / "a").write_text("x")
    print("ready", flush=True)
    time.sleep(600)
"""


def test_parts_of_a_living_process_stay_and_go_when_it_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "ready\n"
        held = sorted(path.name for path in tmp_path.iterdir())
        assert len(held) == 2
        assert stat.S_IMODE((tmp_path / held[0]).stat().st_mode) == 0o700
        write_text(tmp_path / "file", "mine")
        tidy(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*held, "file"])
    finally:
        holder.kill()
        holder.communicate()
    tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_only_what_is_named_by_us_is_tidied(tmp_path: Path) -> None:
    names = [
        ".movie.part",
        ".movie.12345678.part",
        "build.qdeploy-0123456789ab.part",
        ".build.qdeploy-0123456789ab.parts",
        ".build.qdeploy-0123456789AB.part",
    ]
    for name in names:
        (tmp_path / name).write_text("precious")
    link = tmp_path / ".link.qdeploy-0123456789ab.part"
    link.symlink_to(tmp_path / names[0])
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, link.name])


def test_a_failure_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "file") as part:
        part.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "folder") as part:
        (part / "a").write_text("half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_a_link_to_a_build_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "build").symlink_to(tmp_path / "disk" / "real")
    with atomic_folder(tmp_path / "build") as part:
        (part / "a").write_text("new")
    assert (tmp_path / "build").is_symlink()
    assert content(tmp_path) == {"new"}
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real"]


def test_the_end_of_the_process_removes_parts_that_an_interrupt_kept_from_it(
    tmp_path: Path,
) -> None:
    with atomic_folder(tmp_path / "build") as part:
        (part / "a").write_text("x")
        remove_own()
        assert not part.exists()
        part.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


def test_what_is_durable_is_synced_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order: the content, the rename, the folder's names."""
    events: list[str] = []
    descriptor_path = Path("/proc/self/fd")
    fsync, replace = os.fsync, Path.replace

    def noted(descriptor: int) -> None:
        events.append(f"sync {(descriptor_path / str(descriptor)).readlink().suffix or 'folder'}")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", renamed)
    write_text(tmp_path / "file", "text", durable=True)
    assert events == ["sync .part", "rename", "sync folder"]
    with atomic_folder(tmp_path / "folder", durable=True) as part:
        (part / "file").write_text("text")
        (part / "link").symlink_to("nowhere")
    assert (tmp_path / "folder" / "link").is_symlink()
    events.clear()
    write_text(tmp_path / "file", "text")
    assert events == ["rename"]


def test_a_second_look_is_needed_for_parts_of_processes_that_died_since(tmp_path: Path) -> None:
    part = tmp_path / ".file.qdeploy-0123456789ab.part"
    write_text(tmp_path / "file", "text")  # looks at the folder, once
    part.write_text("half")
    write_text(tmp_path / "file", "text")
    assert part.exists()
    parts.tidy(tmp_path)
    assert not part.exists()

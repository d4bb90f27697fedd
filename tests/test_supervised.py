"""Programs and their children end with the process that started them, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from running import gone, processes_with, wait_until

from qdeploy import supervised
from qdeploy.errors import ToolFailedError
from qdeploy.supervised import in_parallel
from qdeploy.tools import run_tool

# make starts a shell, which starts a program: each names the mark in its command line.
MAKEFILE = "all:\n\t{python} -c 'import time; time.sleep(600) # {mark}' & wait # {mark}\n"
PARENT = """
import sys
from pathlib import Path
from qdeploy.tools import run_tool
folder = Path(sys.argv[1])
run_tool(["make", "-f", sys.argv[2]], folder, folder / "log", 600)
"""


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """Of a make whose grandchild sleeps; its name is in no other command line."""
    path = tmp_path / f"mark-{os.urandom(8).hex()}.mk"
    path.write_text(MAKEFILE.format(python=sys.executable, mark=path.name))
    return path


def sleeping(makefile: Path) -> bool:
    return sum(b"time.sleep(600)" in line for line in processes_with(makefile.name)) >= 2


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_make_and_what_it_started_end_with_a_process_that_is_killed(
    makefile: Path, tmp_path: Path, ending: signal.Signals
) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), makefile.name]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    wait_until(lambda: sleeping(makefile))
    parent.send_signal(ending)
    parent.wait(timeout=30)
    assert gone(makefile.name)


def test_what_a_program_leaves_running_ends_when_it_is_done(tmp_path: Path) -> None:
    mark = f"left-{os.urandom(8).hex()}"
    sleeper = f"{sys.executable} -c 'import time; time.sleep(600) # {mark}'"
    run_tool(["sh", "-c", f"{sleeper} & sleep 0.5"], tmp_path, tmp_path / "log", 60)
    assert gone(mark)


def test_a_program_gets_sigterm_and_time_to_remove_what_it_made(tmp_path: Path) -> None:
    script = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): pathlib.Path('tidied').touch(); sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(600)"
    )
    with pytest.raises(ToolFailedError, match="did not finish within 3 s"):
        run_tool([sys.executable, "-c", script], tmp_path, tmp_path / "log", 3)
    assert (tmp_path / "ready").exists()
    assert (tmp_path / "tidied").exists()


def test_a_program_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "GRACE", 0.5)
    mark = os.urandom(8).hex()
    script = (
        "import signal, time\n"
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600) # {mark}"
    )
    with pytest.raises(ToolFailedError, match="did not finish"):
        run_tool([sys.executable, "-c", script], tmp_path, tmp_path / "log", 1.5)
    assert gone(mark)


def test_temporary_files_of_a_killed_program_go_with_it(tmp_path: Path) -> None:
    script = "echo $TMPDIR; touch $TMPDIR/cc1.s; kill -9 $$"
    with pytest.raises(ToolFailedError, match="SIGKILL"):
        run_tool(["sh", "-c", script], tmp_path, tmp_path / "log", 60)
    folder = Path((tmp_path / "log").read_text().splitlines()[0])
    assert folder.name.startswith("qdeploy-tool-")
    assert not folder.exists()


def test_one_failure_or_an_interrupt_ends_all_that_runs_beside_it(tmp_path: Path) -> None:
    """The failing one does not wait for the others, and what has not begun never does."""

    def work(number: int) -> str:
        script = "raise SystemExit(3)" if number == 0 else "import time; time.sleep(600)"
        folder = tmp_path / str(number)
        folder.mkdir()
        return run_tool([sys.executable, "-c", script], folder, folder / "log", 600)

    start = time.monotonic()
    with (
        pytest.raises(ToolFailedError, match="exit status 3"),
        in_parallel(work, range(6), 3) as results,
    ):
        list(results)
    threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT]).start()
    with (
        pytest.raises(KeyboardInterrupt),
        in_parallel(work, range(11, 15), 2) as results,
    ):
        list(results)
    assert time.monotonic() - start < 60
    assert not (tmp_path / "14").exists()

"""A signal ends a command in order, wherever it meets it."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from data_trees import write_imagenet
from running import gone, processes_with, wait_until
from tiny_runs import train_tiny

from qdeploy.cli.signals import LIMIT

ROOT = str(Path(__file__).resolve().parents[2])
ENDING = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SENTENCE = "interrupted; what was finished stays, nothing half-written is kept\n"
# A command line with one command, whose body is BODY.
FRAME = """
import ctypes, hashlib, os, sys, time
from pathlib import Path
import click
from qdeploy.cli import main, signals
from qdeploy.artifacts import atomic_folder
from qdeploy.errors import UserError
from qdeploy.tools import run_tool

@click.command()
def command():
    ready = Path("ready").touch
BODY

main.qdeploy = command
sys.argv = ["qdeploy"]
main.main()
"""
HALF_BUILT = """
    with atomic_folder(Path("out")) as part:
        (part / "a").touch()
        run_tool(["sh", "-c", "touch ../ready; sleep 600"], part, part / "log", 600)
"""
SWALLOWED = """
    for _ in range(3):
        try:
            ready()
            time.sleep(600)
        except BaseException:
            pass
    time.sleep(600)
"""
IN_A_DESTRUCTOR = """
    class Slow:
        def __del__(self):
            ready()
            time.sleep(600)
    Slow()
    time.sleep(600)
"""
HALF_MADE = """
    class Made:
        def __init__(self):
            ready()
            time.sleep(600)
            self.name = "made"
        def __del__(self):
            print(self.name)
    Made()
"""
# As torch's own code does with an interrupt of what it imports.
FRAGILE_TORCH = """
import os, time
from pathlib import Path
try:
    Path("ready").touch()
    for _ in range(50):
        time.sleep(0.02)
except BaseException:
    os.abort()
Path("loaded").touch()
"""
ANOTHER_ERROR = """
    try:
        ready()
        time.sleep(600)
    except KeyboardInterrupt as error:
        raise {error} from error
"""
DEAF = """
    signals.LIMIT = 2.0
    with atomic_folder(Path("out")) as part:
        ready()
        hashlib.pbkdf2_hmac("sha512", b"", b"", 2**30)
"""
SLOW_TO_END = """
    try:
        ready()
        time.sleep(600)
    finally:
        Path("ending").touch()
        time.sleep(600)
"""


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Also where a test fails."""
    yield
    for process in _started:
        process.kill()
    _started.clear()


def start(words: list[str], folder: Path, **options: object) -> subprocess.Popen[str]:
    """A process in `folder`, which it and what it starts have in their environment."""
    (folder / "tmp").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT, "OMP_NUM_THREADS": "1", "TMPDIR": f"{folder}/tmp"},
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )
    _started.append(process)
    return process


def command(body: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    process = start(["-c", FRAME.replace("BODY", body)], folder, **options)
    wait_until(lambda: (folder / "ready").exists(), process)
    return process


def ended(process: subprocess.Popen[str], seconds: float = 60.0) -> str:
    """What it said until its end."""
    _, said = process.communicate(timeout=seconds)
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return said


@pytest.mark.parametrize("number", ENDING)
def test_programs_end_parts_go_and_the_exit_code_tells_the_signal(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = command(HALF_BUILT, tmp_path)
    process.send_signal(number)
    assert ended(process).endswith(SENTENCE)
    assert process.returncode == ENDING[number]
    assert {path.name for path in tmp_path.iterdir()} == {"ready", "tmp"}
    assert list((tmp_path / "tmp").iterdir()) == []
    assert gone(str(tmp_path), 0.5)


@pytest.mark.parametrize(
    "body",
    [
        SWALLOWED,
        IN_A_DESTRUCTOR,
        HALF_MADE,
        ANOTHER_ERROR.format(error="ImportError('x')"),
        ANOTHER_ERROR.format(error="UserError('x')"),
        ANOTHER_ERROR.format(error="OSError(28, 'x')"),
        ANOTHER_ERROR.format(error="SystemError('x')"),
    ],
)
def test_an_interrupt_that_other_code_swallows_or_renames_arrives(
    body: str, tmp_path: Path
) -> None:
    process = command(body, tmp_path)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert ended(process).strip() == SENTENCE.strip()
    assert process.returncode == 130
    assert time.monotonic() - started < LIMIT


def test_torch_is_loaded_before_an_interrupt_arrives(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(FRAGILE_TORCH)
    process = command("    import torch\n    time.sleep(600)\n", tmp_path)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert ended(process).strip() == SENTENCE.strip()
    assert process.returncode == 130
    assert (tmp_path / "loaded").exists()
    assert time.monotonic() - started < LIMIT


def test_code_that_does_not_listen_is_ended_and_its_parts_go(tmp_path: Path) -> None:
    process = command(DEAF, tmp_path)
    process.send_signal(signal.SIGTERM)
    assert ended(process) == SENTENCE
    assert process.returncode == 143
    assert {path.name for path in tmp_path.iterdir()} == {"ready", "tmp"}


def test_a_second_ctrl_c_does_not_wait_for_the_first(tmp_path: Path) -> None:
    process = command(SLOW_TO_END, tmp_path)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: (tmp_path / "ending").exists(), process)
    process.send_signal(signal.SIGINT)  # of the same event
    time.sleep(1.2)
    assert process.poll() is None
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended(process)
    assert process.returncode == 130
    assert time.monotonic() - started < 2.0


def test_a_signal_that_nohup_keeps_away_stays_away(tmp_path: Path) -> None:
    body = "    ready()\n    time.sleep(1)\n    print('done')"
    ignoring = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    ignoring += "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    process = start(["-c", ignoring, "-c", FRAME.replace("BODY", body)], tmp_path)
    wait_until(lambda: (tmp_path / "ready").exists())
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=30)[0] == "done\n"
    assert process.returncode == 0


def test_a_closed_terminal_ends_a_command_that_prints(tmp_path: Path) -> None:
    body = "    ready()\n    while True:\n        print('more', flush=True); time.sleep(0.01)"
    terminal, end = pty.openpty()
    process = command(body, tmp_path, stdin=end, stdout=end, stderr=end, start_new_session=True)
    os.close(end)
    os.close(terminal)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 129


# --- the real commands


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny")


def hears(process: subprocess.Popen[str]) -> bool:
    """Whether SIGTERM has a handler there, which Python by itself does not install."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("SigCgt"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3, 1.0, 1.5, 2.0, 3.0])
def test_ctrl_c_while_packages_are_loaded_is_quiet(delay: float, run: Path, tmp_path: Path) -> None:
    process = start(["-m", "qdeploy", "analyze", str(run), "--out", "out"], tmp_path)
    wait_until(lambda: hears(process))
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    assert ended(process).strip() == SENTENCE.strip()
    assert process.returncode == 130
    assert not list(tmp_path.rglob("*.part"))
    # A fast machine may have its result by the last delay.
    assert not (tmp_path / "out").exists() or (tmp_path / "out" / "analysis.json").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def running(word: bytes, folder: Path) -> bool:
    return any(word in line for line in processes_with(str(folder)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "program"), [*zip(ENDING, (b"yosys", b"cc1plus", b"yosys"), strict=True)]
)
def test_a_signal_ends_export_with_yosys_and_the_compiler(
    number: signal.Signals, program: bytes, run: Path, tmp_path: Path
) -> None:
    words = ["export", str(run), "--out", "out", "--frames", "20", "--rtl-frames", "5"]
    process = start(["-m", "qdeploy", *words, "--fps", "500000"], tmp_path)
    wait_until(lambda: running(program, tmp_path), process)
    process.send_signal(number)
    assert ended(process).endswith(SENTENCE)
    assert process.returncode == ENDING[number]
    assert gone(str(tmp_path), 0.5)
    assert {path.name for path in tmp_path.iterdir()} <= {".cache", "tmp"}
    assert list((tmp_path / "tmp").iterdir()) == []
    assert list(tmp_path.rglob("*.part")) == []


STREAMED = """\
name: streamed
network: {type: resnet, depth: 8, width: 8}
data: {name: imagenet, image_size: 16, classes: 3, batch_size: 4, augment: resized-crop-flip,
       workers: 2}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 500, optimizer: {lr: 0.1}}
  - {name: quantized, kind: retrain, epochs: 1, optimizer: {lr: 0.1}}
"""


@pytest.fixture
def training(tmp_path: Path) -> Callable[[], subprocess.Popen[str]]:
    """Starts, or goes on with, a training that is fed by worker processes."""
    write_imagenet(tmp_path / "data", classes=3, train=7)
    (tmp_path / "streamed.yaml").write_text(STREAMED)
    words = ["train", "streamed.yaml", "--out", "run", "--data", "data", "--any-network"]

    def begin(*more: str) -> subprocess.Popen[str]:
        return start(["-m", "qdeploy", *words, *more], tmp_path)

    return begin


@pytest.mark.slow
@pytest.mark.parametrize("number", [*ENDING, signal.SIGKILL])
def test_a_signal_ends_training_with_its_workers_and_the_next_command_goes_on_at_once(
    number: signal.Signals, training: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = training()
    wait_until(lambda: any((tmp_path / "run").glob("checkpoints/*.json")), process)
    wait_until(lambda: len(processes_with(str(tmp_path))) >= 3, process)
    process.send_signal(number)
    said = ended(process)
    if number != signal.SIGKILL:
        assert "go on with `qdeploy train" in said
        assert process.returncode == ENDING[number]
    assert gone(str(tmp_path), 0.5)
    again = training("--resume")
    assert again.stderr is not None
    for line in again.stderr:
        if "float" in line:
            break
    else:
        pytest.fail("it did not go on")
    again.send_signal(signal.SIGTERM)
    ended(again)
    assert again.returncode == 143

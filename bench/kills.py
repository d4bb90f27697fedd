"""Commands killed at random moments: what is lost, what is left, what goes on running.

    python bench/kills.py [--count 100] [--seed 0]

`train`, `export`, `verify` and `analyze` of a small network, each in a folder of its own, are
killed (SIGKILL, the command's own process only) after times drawn from 0 to what the command takes.
Each is a copy of a process that has the packages loaded, so that the moments fall on its work.
After a few kills in a row the command runs to its end. Writes bench/results/kills.json; the exit
code is 1 where anything was lost, left or orphaned.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from record import figure, save

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support"))
RECIPE = """\
name: small
network: {type: fcdnn, width: 16, depth: 2}
data: {name: digits, batch_size: 64}
training: {threads: 1}
phases:
  - {name: float, kind: pretrain, epochs: 12, optimizer: {lr: 0.1}}
  - {name: retrain, kind: retrain, epochs: 12, optimizer: {lr: 0.01}, lipschitz: 1.0e-4}
"""
SMALL = ("--frames", "40", "--rtl-frames", "8", "--fps", "500000")
IN_A_ROW = 7
# What says when and how long something ran, or in which folder.
OF_ITS_RUN = (
    "build.json",
    "verify.json",
    "report.html",
    "yosys.log",
    "bundle.json",
    "summary.json",
    "metrics.jsonl",
)
# Starts commands: reads their words, forks, tells the process number; waits for the end when told
# to, and tells how it ended.
SERVER = """
import json, os, sys
import brevitas.nn, matplotlib.pyplot, onnxruntime, qonnx.core.modelwrapper, sklearn.datasets
import qdeploy.training.train, qdeploy.build.source
from qdeploy.cli.start import main
for line in sys.stdin:
    child = os.fork()
    if not child:
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["qdeploy", *json.loads(line)]
        main()
    print(child, flush=True)
    sys.stdin.readline()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
PATIENCE = 10.0  # seconds in which children have to end


@dataclass
class Found:
    """What the kills of one command came to.

    Args:
        kills: that met the command while it ran.
        tidied: after which something half-written was there, which the next run removed.
        lost: finished work that was gone or changed, and next runs that did not end right.
        left: files that are still there after the next run to the end.
        orphans: processes that went on running.
    """

    kills: int = 0
    tidied: int = 0
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


class Place:
    """A folder with a run and a build, and the processes that work in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server: subprocess.Popen[str] | None = None
        self.temporary = folder / "tmp"
        self.temporary.mkdir(parents=True)
        (folder / "small.yaml").write_text(RECIPE, encoding="utf-8")

    def copy(self, name: str) -> Place:
        """Another folder with the same in it; the build knows its run by the path of this one."""
        other = Place(self.folder.parent / name)
        for entry in ("run", "build", ".cache"):
            shutil.copytree(self.folder / entry, other.folder / entry)
        return other

    def start(self, words: Sequence[str]) -> int:
        """Start a command; its process number. Its children have the name of this folder in their
        environment.
        """
        if self.server is None:
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "TMPDIR": str(self.temporary),
                "TORCHINDUCTOR_CACHE_DIR": str(self.folder.parent / "torch"),
            }
            self.server = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(self.folder)],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(list(words)) + "\n")
        self.server.stdin.flush()
        return self.heard()

    def go_on(self) -> None:
        """Have the end of the command waited for, which `heard` tells then."""
        assert self.server is not None and self.server.stdin is not None
        self.server.stdin.write("\n")
        self.server.stdin.flush()

    def heard(self) -> int:
        """The next number from the process that starts commands."""
        assert self.server is not None and self.server.stdout is not None
        return int(self.server.stdout.readline())

    def run(self, words: Sequence[str]) -> float:
        """Run a command to its end; seconds.

        Raises:
            RuntimeError: it failed.
        """
        begun = time.monotonic()
        self.start(words)
        self.go_on()
        code = self.heard()
        said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        if code != 0 or "Traceback" in said:
            raise RuntimeError(f"`{' '.join(words)}` ended with {code}: {said[-2000:]}")
        return time.monotonic() - begun

    def orphans(self) -> list[str]:
        """Command lines of processes that still run some time after their command was killed."""
        from running import processes_with

        end = time.monotonic() + PATIENCE
        while found := [
            line for line in processes_with(str(self.temporary)) if SERVER.encode() not in line
        ]:
            if time.monotonic() > end:
                return [line.replace(b"\0", b" ").decode(errors="replace") for line in found]
            time.sleep(0.05)
        return []

    def digests(self, folder: str) -> dict[str, str]:
        """Path -> SHA-256 of the files in a folder; of those that differ by run, that they are."""
        return {
            path.relative_to(self.folder).as_posix(): "there"
            if path.name in OF_ITS_RUN
            else hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.folder / folder).rglob("*"))
            if path.is_file()
        }

    def unfinished(self) -> list[str]:
        """Parts, locks of commands and temporary files that are there now."""
        found = [path for path in self.folder.rglob("*") if ".qdeploy-" in path.name]
        found += [path for path in self.folder.rglob("*.lock") if ".cache" not in path.parts]
        found += list(self.temporary.iterdir())
        return sorted({path.relative_to(self.folder).as_posix() for path in found})


class Command(ABC):
    """A command that is killed in a place.

    Args:
        place: where a run (but for `train`) and what else it needs are ready.
    """

    output: str

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def words(self) -> list[str]:
        """The command line."""

    @abstractmethod
    def begin(self, turn: int) -> None:
        """Make ready for some kills in a row."""

    def progress(self) -> int:
        """How far it came, in steps that are finished for good."""
        return 0

    def damage(self, right: dict[str, str]) -> str | None:
        """What a kill has done to the output, which is right before and after."""
        now = self.place.digests(self.output)
        kept = {name: digest for name, digest in now.items() if ".qdeploy-" not in name}
        changed = [name for name in right if kept.get(name) != right[name]]
        return f"{self.output}: {', '.join(changed)}" if now and changed else None


class Train(Command):
    """A training, from nothing; killed, it goes on."""

    output = "run"

    def words(self) -> list[str]:
        return ["train", "small.yaml", "--out", "run", "--resume"]

    def begin(self, turn: int) -> None:
        remove(self.place.folder / "run")

    def progress(self) -> int:
        return len(finished_epochs(self.place.folder / "run" / "metrics.jsonl"))

    def damage(self, right: dict[str, str]) -> str | None:
        return None  # its progress tells


class Export(Command):
    """An export, by turns with an empty cache and no build, and with both."""

    output = "build"

    def words(self) -> list[str]:
        return ["export", "run", "--out", "build", *SMALL]

    def begin(self, turn: int) -> None:
        if turn % 2 == 0:
            remove(self.place.folder / ".cache")
            remove(self.place.folder / "build")


class Verify(Command):
    """A verification of a build that is there."""

    output = "build"

    def words(self) -> list[str]:
        return ["verify", "build"]

    def begin(self, turn: int) -> None:
        pass  # the build stays


class Analyze(Command):
    """An analysis of a run, by turns with none before."""

    output = "analysis"

    def words(self) -> list[str]:
        return ["analyze", "run", "--out", "analysis"]

    def begin(self, turn: int) -> None:
        if turn % 2 == 0:
            remove(self.place.folder / "analysis")


COMMANDS: tuple[type[Command], ...] = (Train, Export, Verify, Analyze)


def finished_epochs(metrics: Path) -> list[str]:
    """The rows of a metrics file that may not exist yet."""
    return metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []


def remove(folder: Path) -> None:
    """Remove a folder that may not exist."""
    if folder.exists():
        shutil.rmtree(folder)


def kills(command: Command, count: int, draw: random.Random) -> Found:
    """Kill a command `count` times."""
    found, place, turn = Found(), command.place, 0
    command.begin(1)
    seconds = place.run(command.words())
    right = place.digests(command.output)
    while found.kills < count:
        command.begin(turn)
        turn += 1
        for _ in range(min(IN_A_ROW, count - found.kills)):
            was = command.progress()
            number = place.start(command.words())
            time.sleep(draw.uniform(0.0, seconds))
            os.kill(number, signal.SIGKILL)  # its number stays its own until it is waited for
            place.go_on()
            if place.heard() != -signal.SIGKILL:
                seconds *= 0.7  # it had come to its end
                continue
            found.kills += 1
            found.orphans += place.orphans()
            found.tidied += bool(place.unfinished())
            if command.progress() < was:
                found.lost.append(f"{was - command.progress()} finished epochs")
            if (damage := command.damage(right)) is not None:
                found.lost.append(damage)
        try:
            took = place.run(command.words())
            seconds = min(max(took, 0.5 * seconds), 1.5 * seconds)
        except RuntimeError as error:
            found.lost.append(str(error))
            command.begin(0)
            continue
        now = place.digests(command.output)
        if now != right:
            found.lost += [f"other bytes: {name}" for name in right if now.get(name) != right[name]]
            found.left += [name for name in now if name not in right]
        found.left += place.unfinished()
        print(f"  {type(command).__name__.lower()}: {found.kills} of {count}", flush=True)
    return found


def main() -> int:
    """Kill each command in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="kills, of all commands together")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows, bad = [], False
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        base = Place(Path(name) / "base")
        for kind in (Train, Export):
            base.run(kind(base).words())
        lanes = [kind(base.copy(kind.__name__)) for kind in COMMANDS]
        shares = [arguments.count * (i + 1) // 4 - arguments.count * i // 4 for i in range(4)]
        draws = [random.Random(f"{arguments.seed} {i}") for i in range(4)]
        with ThreadPoolExecutor(len(lanes)) as pool:
            all_found = list(pool.map(kills, lanes, shares, draws))
        for command, found in zip(COMMANDS, all_found, strict=True):
            told = {"lost": found.lost, "left": found.left, "orphans": found.orphans}
            counts = {"kills": found.kills, "tidied": found.tidied}
            counts |= {what: len(items) for what, items in told.items()}
            rows += [figure(command.__name__.lower(), *one, "count") for one in counts.items()]
            bad |= any(told.values())
            print(f"{command.__name__.lower()}: {json.dumps({**counts, **told})}", flush=True)
    print(f"written: {save('kills', rows)}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())

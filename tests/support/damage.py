"""Damage to files, and a watch over what reading them does.

A kind of file is a function that writes a good one, with all around it that its reader needs, and
the reader. `damaged` tries the reader on many changed copies: each has to end in a result or in a
message, within seconds, without much memory, and without running anything.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from qdeploy.errors import InternalError, QDeployError
from qdeploy.scratch import scratch_base

SECONDS = 10
MEBIBYTES = 2048
# Programs, in the languages of files that can hold some.
PROGRAMS = (
    b"cos\nsystem\n(S'touch trace'\ntR.",
    b"\x80\x02cposix\nsystem\nX\x0b\x00\x00\x00touch trace\x85R.",
    b"!!python/object/apply:os.system ['touch trace']",
    b"!!python/object:os.system",
    b"[exec touch trace]",
    b"$(touch trace)",
    b"__import__('os').system('touch trace')",
)
# Pieces that mean something to one reader or the other.
TOKENS = (
    *(b"null", b"true", b"-1", b"1e999", b"NaN", b"[]", b"{}", b"[" * 60, b"{a: ", b"&a", b"*a"),
    *(b"<<", b"!!timestamp x", b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"),
    *(b"\\ud800", b"\xed\xa0\x80", b"9" * 40, b"9" * 5000, b"0", b"..", b"/", b"\n", b"\t", b":"),
    *(b"#", b'"', b"{{7*7}}", b"[bold]", b"[/x]", b"\x1b[31m", b"1/0", *PROGRAMS),
)
# What code that a file brought along would have to do; see Python's table of audit events.
RUNS = (
    *("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn"),
    *("subprocess.Popen", "socket.connect", "pickle.find_class", "ctypes.dlopen", "pty.spawn"),
)

# In the driver's folder of a package; see `driver/native.py` there.
PACKING = "driver/native"
_PACKING = re.compile(rf"/{PACKING}-\w+-[0-9a-f]{{16}}\.so\Z")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: of the kind.
        write: into an empty folder; returns the file that gets damaged.
        read: that file.
        count: damaged files in every run of the tests.
        seal: after each change, writes what has to agree with the file, such as its checksum.
        around: what has to hold meanwhile.
        error: what the reader may raise; one's own faults aside.
        needed: whether there is no going on without the file.
        change: what damage is done to the file's bytes; `mutated` where None.
    """

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    count: int = 25
    seal: Callable[[Path], object] | None = None
    around: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    error: tuple[type[Exception], ...] = (QDeployError,)
    needed: bool = True
    change: Callable[[bytes, random.Random], bytes] | None = None


@dataclass
class Outcome:
    """What became of the damaged files of a kind.

    Args:
        refused, harmless: how many ended in a message, and how many were read all the same.
        harms: a sentence for every other end.
        slowest: seconds that one file took.
        mebibytes: memory that one file took.
    """

    refused: int = 0
    harmless: int = 0
    harms: list[str] = field(default_factory=list)
    slowest: float = 0.0
    mebibytes: int = 0


class HarmError(Exception):
    """A damaged file ended in anything but a result or a message."""


def mutated(data: bytes, draw: random.Random) -> bytes:
    """One to three changes: bits, pieces cut, repeated, moved, or replaced by a token.

    In longer files half of them are near the beginning or the end, where headers are.
    """
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        if len(data) > 1024 and draw.random() < 0.5:
            at = draw.randrange(192)
            at = at if draw.random() < 0.7 else len(data) - at
        end = min(len(data), at + draw.choice((1, 2, 8, 64)))
        piece = data[at:end]
        kind = draw.randrange(7)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:end] + piece + data[end:]
        elif kind == 3:
            data = data[:at]
        elif kind == 4:
            other = draw.randrange(len(data) + 1)
            data = data[:other] + piece + data[other:]
        elif kind == 5:
            data = data[:at] + draw.choice(TOKENS) + data[end:]
        else:
            token = draw.choice(TOKENS)
            data = data[:at] + token + data[at + len(token) :]
    return data


def damaged(kind: Kind, folder: Path, count: int, seed: str) -> Outcome:
    """Read `count` damaged files of a kind, the same ones for the same seed; those that do harm are
    kept in the folder."""
    draw, outcome = random.Random(f"{kind.name} {seed}"), Outcome()
    with kind.around():
        path = kind.write(folder)
        good = path.read_bytes()
        _sealed(kind, path)
        kind.read(path)  # loads what is loaded once
        for number in range(count):
            data = (kind.change or mutated)(good, draw)
            path.write_bytes(data)
            _sealed(kind, path)
            try:
                _try(kind, path, folder, outcome)
            except HarmError as harm:
                kept = folder / f"harm{number}"
                kept.write_bytes(data)
                outcome.harms.append(f"{kept}: {harm}")
    return outcome


def _sealed(kind: Kind, path: Path) -> None:
    if kind.seal is not None:
        kind.seal(path)


def _try(kind: Kind, path: Path, folder: Path, outcome: Outcome) -> None:
    start = time.monotonic()
    _forget_peak()
    before = _peak()
    _WATCH.begin(folder)
    try:
        kind.read(path)
        outcome.harmless += 1
    except InternalError as error:
        raise HarmError("it is taken for a fault of our own") from error
    except kind.error:
        outcome.refused += 1
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        raise HarmError(
            f"it ends in a {type(error).__name__} in {where}: {error!s:.200}"
        ) from error
    finally:
        ran = _WATCH.end()
    seconds, grown = time.monotonic() - start, _peak() - before
    outcome.slowest = max(outcome.slowest, seconds)
    outcome.mebibytes = max(outcome.mebibytes, grown)
    if ran:
        raise HarmError(f"reading it did this: {', '.join(ran)}")
    if seconds > SECONDS:
        raise HarmError(f"it takes {seconds:.1f} s")
    if grown > MEBIBYTES:
        raise HarmError(f"it takes {grown:,} MiB")


def _peak() -> int:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0  # no Linux: the other promises are still tested
    words = status.read_text().split()
    return int(words[words.index("VmHWM:") + 1]) // 1024


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _compiles_packing(event: str, arguments: tuple[object, ...]) -> bool:
    """Whether the driver makes or loads its own code for packing, which no file here is part of."""
    if event == "ctypes.dlopen":
        return _PACKING.search(str(arguments[0])) is not None
    words = arguments[1] if event == "subprocess.Popen" and len(arguments) > 1 else ()
    return isinstance(words, list) and f"{PACKING}.c" in [
        str(one)[-len(PACKING) - 2 :] for one in words
    ]


class _Watch:
    """Notes what Python's audit events say of programs, networks, and files that are written."""

    def __init__(self) -> None:
        self.on, self.installed = False, False
        self.places: tuple[str, ...] = ()
        self.seen: list[str] = []

    def begin(self, folder: Path) -> None:
        """Note from here on; files below `folder` may be written, and
        those in temporary folders."""
        if not self.installed:
            sys.addaudithook(self._hook)  # for ever: there is no way to remove one
            self.installed = True
        self.places = (str(folder), f"{scratch_base()}/qdeploy-", "/dev/null", "/proc/self/")
        self.seen, self.on = [], True

    def end(self) -> list[str]:
        """What was noted."""
        self.on = False
        return self.seen

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on:
            return
        if event == "subprocess.Popen" and arguments[0] == "git":
            return  # which revision made a file is part of the record of every run
        if _compiles_packing(event, arguments):
            return
        if event in ("tempfile.mkdtemp", "tempfile.mkstemp"):
            self.places += (str(arguments[0]),)
        elif event in RUNS:
            self.seen.append(f"{event} {arguments!r:.120}")
        elif event == "open" and isinstance(arguments[2], int):
            writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            path = str(arguments[0])
            if writes and not path.startswith(self.places):
                self.seen.append(f"wrote {path}")


_WATCH = _Watch()


@contextlib.contextmanager
def replaced(module: object, **values: object) -> Iterator[None]:
    """Constants of a module, replaced for a while: data sets of other sizes."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def all_of(*steps: Callable[[], object]) -> None:
    """Run every step, also after one that ended in a message; the last message, if any.

    Raises:
        QDeployError: of the last step that has one.
    """
    refused: QDeployError | None = None
    for step in steps:
        try:
            step()
        except InternalError:
            raise
        except QDeployError as error:
            refused = error
    if refused is not None:
        raise refused

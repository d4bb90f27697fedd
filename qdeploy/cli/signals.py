"""Signals end a command in order: its children end, its parts go, what was finished stays.

The first SIGINT (Ctrl-C), SIGTERM or SIGHUP raises `Interrupted` in the main thread, wherever it
is, so that every `finally` runs. The process ends at once, and removes what it can, when a second
one comes later than `SAME_EVENT`, or when it has not ended `LIMIT` seconds after the first: a
package's own code may keep the main thread from hearing it. The exit code is 128 and the number of
the first signal: 130, 143, 129.

A signal that was ignored when the process started, as by `nohup`, stays ignored.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Signals so close to the first one are the same event: a terminal and a launcher may both send one.
SAME_EVENT = 1.0
LIMIT = 8.0  # less than the 10 s that container engines wait before they kill
MESSAGE = "interrupted; what was finished stays, nothing half-written is kept"
_LOOK = 0.02  # seconds between two looks whether an interrupt was swallowed
_BY_SIGNAL = 128


class _State:
    """What this process has heard."""

    listening = False
    heard: int | None = None
    since = 0.0
    swallowed = False  # an interrupt went before it arrived
    raise_again = False
    arrived = False  # who called the command knows, or the command is over
    said = False


_state = _State()


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end.

    Some code swallows what is raised in it: destructors, imports of extension modules, a package's
    `except:`. An interrupt that goes before it has arrived is therefore raised again. Torch ends
    the process when an import that its own code makes is interrupted, so it is loaded first.
    """

    def __del__(self) -> None:
        # Not raised here: it would be swallowed once more, being inside of a destructor.
        _state.swallowed = True


def listen() -> None:
    """Hear signals in this process from now on; a second call changes nothing."""
    if _state.listening or threading.current_thread() is not threading.main_thread():
        return
    _state.listening = True
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Python's handlers wait for the main thread, which may be deep in a package's own code; the
    # numbers of signals come through this pipe at once.
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()
    os.register_at_fork(after_in_child=_leave_to_parent)
    sys.unraisablehook = _unraisable
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _hear)


def heard() -> bool:
    """Whether a signal has asked this process to end."""
    return _state.heard is not None


def arrived() -> None:
    """An interrupt has been dealt with: it is not raised again."""
    _state.arrived = True


def say() -> None:
    """Tell the user, once; a terminal that is gone hears nothing."""
    if not _state.said:
        _state.said = True
        with contextlib.suppress(OSError, ValueError):
            print(MESSAGE, file=sys.stderr, flush=True)


def exit_code() -> int:
    """For a process that was interrupted: as shells tell the signal that ended a program."""
    return _BY_SIGNAL + (_state.heard or signal.SIGINT)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Pass an interrupt on as one, whatever error it has become on its way.

    Raises:
        KeyboardInterrupt: a signal was heard, and the block ends with an error.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if _state.heard is None:
            raise
        raise KeyboardInterrupt from error


class Ending:
    """A block after which the process ends; an interrupt in it becomes a sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        _state.arrived = True
        if _state.heard is None or error is None or isinstance(error, SystemExit):
            return False
        say()
        return True


def close_streams() -> None:
    """Close the standard streams where nobody reads them any more: Python would fail to, later."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                stream.close()


def _hear(number: int, _frame: FrameType | None) -> None:
    now = time.monotonic()
    if _state.heard is None:
        _state.heard, _state.since = number, now
        _raise()
    elif _state.raise_again:
        _state.raise_again = False
        _raise()
    elif now - _state.since > SAME_EVENT:
        _end_now()


def _raise() -> None:
    if _state.arrived:
        return
    if _loads_torch():
        _state.swallowed = True
    else:
        raise Interrupted


def _loads_torch() -> bool:
    spec = getattr(sys.modules.get("torch"), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))  # as importlib marks a module meanwhile


def _watch(reader: int) -> None:
    """From the first signal on, raise again what is swallowed, and end the process in time."""
    numbers = {int(number) for number in SIGNALS}
    while (number := os.read(reader, 1)[0]) not in numbers:
        pass
    main = threading.main_thread().ident or 0
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        time.sleep(_LOOK)
        if _state.swallowed and not _state.arrived:
            _state.swallowed, _state.raise_again = False, True
            signal.pthread_kill(main, number)  # wakes it up, should it sleep
    if _state.heard is None:
        _state.heard = number
    _end_now()


def _end_now() -> None:
    """End without a further step of the main thread; programs that it started end by themselves."""
    parts = sys.modules.get("qdeploy.parts")
    if parts is not None:
        with contextlib.suppress(AttributeError, RuntimeError):  # half imported; changing just now
            parts.remove_own()
    say()
    os._exit(exit_code())


def _leave_to_parent() -> None:
    """In a forked copy of the process, which its parent ends."""
    signal.set_wakeup_fd(-1)
    _state.arrived = True
    for number in SIGNALS:
        if signal.getsignal(number) is _hear:
            # Ctrl-C reaches all processes of a terminal.
            to = signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, to)


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    """Say nothing once a signal was heard: a swallowed interrupt comes again, and destructors fail
    on what it left half made.
    """
    if _state.heard is None:
        sys.__unraisablehook__(what)

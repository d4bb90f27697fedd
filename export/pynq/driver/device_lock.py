"""One process at a time has the board's FPGA: a lock that the system gives back when it ends.

The lock is `flock` on one file for the board, whatever the network: loading a bitstream takes the
FPGA from whoever uses it. The file holds the number and the command of the process that has it, for
the message.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path

from .errors import AcceleratorError

# One for the board: /run/lock where there is one, as on PYNQ's images.
FOLDERS = (Path("/run/lock"), Path("/var/lock"), Path("/tmp"))
NAME = "qdeploy-fpga.lock"


class DeviceLock:
    """The lock, held from the call until `release`.

    Raises:
        AcceleratorError: another process has it, or the file cannot be opened.
    """

    def __init__(self) -> None:
        folder = next((one for one in FOLDERS if one.is_dir()), FOLDERS[-1])
        path = folder / NAME
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            raise AcceleratorError(
                f"the lock file {path} cannot be opened ({error.strerror}); the driver runs as root"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 300, 0).decode("utf-8", "replace").strip()
            os.close(self._file)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise AcceleratorError(f"the lock {path} does not work: {error}") from error
            raise AcceleratorError(
                f"another process uses the FPGA: {holder or 'unknown'}; end it or call its"
                " accelerator's close() (in Jupyter: shut down its kernel), then try again"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} ({_command()})\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back; more than once does no harm."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1


def _command() -> str:
    return " ".join(sys.orig_argv if hasattr(sys, "orig_argv") else sys.argv)[:200]

"""Freed memory that stays with the process while it trains.

glibc gives every large block back to the system as soon as it is freed, and every training step
asks for the same ones again: the pages have to be zeroed and mapped anew, which is a fifth of the
step of a small network. During a training blocks come from the heap, and the heap only grows.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# mallopt(3): parameter, value during a training, glibc's default.
_TRIM_THRESHOLD = (-1, 2**31 - 1, 128 * 1024)
_TOP_PAD = (-2, 64 * 2**20, 128 * 1024)
_MMAP_MAX = (-4, 0, 65536)
_PARAMETERS = (_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """The allocator keeps what is freed; afterwards it has its defaults again and gives back what
    nobody uses. Without glibc nothing happens."""
    library = _glibc()
    if library is None:
        yield
        return
    for parameter, during, _ in _PARAMETERS:
        library.mallopt(parameter, during)
    try:
        yield
    finally:
        for parameter, _, default in _PARAMETERS:
            library.mallopt(parameter, default)
        library.malloc_trim(0)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    known: Callable[[str], bool] = functools.partial(hasattr, library)
    # Other C libraries may have one of the functions, but not this one.
    return library if all(map(known, ("gnu_get_libc_version", "mallopt", "malloc_trim"))) else None

"""Where in a person's code something is, as messages name it."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

import torch

# Code that is not the person's own: torch's, and this package's.
_NOT_THEIRS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


@dataclass(frozen=True)
class Place:
    """A line of code."""

    file: str
    line: int

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.line).strip()
        return f"{self.file}:{self.line}" + (f": {text}" if text else "")


def calling_place() -> Place | None:
    """The innermost line of the running call stack that is neither torch's nor ours."""
    frame: FrameType | None = sys._getframe(1)
    stack = []
    while frame is not None:
        stack.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return _innermost(stack)


def failing_place(error: BaseException) -> Place | None:
    """The innermost line of an exception's traceback that is neither torch's nor ours."""
    traceback: TracebackType | None = error.__traceback__
    stack = []
    while traceback is not None:
        stack.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    return _innermost(reversed(stack))


def _innermost(stack: Iterable[tuple[str, int]]) -> Place | None:
    for file, line in stack:
        # Generated code, such as a dataclass's or that of torch.fx, is in no file.
        if not file.startswith((*_NOT_THEIRS, "<")):
            return Place(file, line)
    return None

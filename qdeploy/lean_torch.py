"""Torch without the compiler behind `torch.compile`, which nothing here uses.

Optimizers and Brevitas load it for a question and a mark on functions that mean nothing outside of
it; loading it takes as long as loading all the rest of torch.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
NAME = "torch._dynamo"


class _Unloaded(ModuleType):
    """Answers what is asked of it while nothing is compiled; for all else the module is loaded."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)  # asked of every module, as `__file__` is
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)

    @staticmethod
    def is_compiling() -> bool:
        return False

    @staticmethod
    def disable(fn: F, recursive: bool = True, **_more: Any) -> F:
        return fn

    @staticmethod
    def graph_break(msg: str = "") -> None:
        pass


def leave_out_compiler() -> None:
    """Load `torch.compile` in this process not before somebody calls it."""
    sys.modules.setdefault(NAME, _Unloaded(NAME))

"""Options with a list of values: `--help` shows the list, and a shell completes it.

A list is read when it is shown or completed. A value that is none of it is refused by the code that
looks it up, which names the nearest one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class NameType(click.ParamType[str]):
    """One of several names.

    Args:
        names: gives them.
        other: what is taken besides, in the list only.
    """

    name = "NAME"

    def __init__(self, names: Callable[[], Sequence[str]], other: str | None = None) -> None:
        self.names, self.other = names, other

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The list."""
        return f"[{'|'.join([*self.names(), *filter(None, [self.other])])}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is: who looks it up knows the names."""
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The names that begin so, in quotes where a shell needs them."""
        from click.shell_completion import CompletionItem

        found = [name for name in self.names() if name.startswith(incomplete.strip("'\""))]
        return [CompletionItem(shlex.quote(name)) for name in found]


def _boards() -> Sequence[str]:
    from qdeploy.devices.boards import list_boards

    return list_boards()


def _targets() -> Sequence[str]:
    from qdeploy.targets.registry import TARGETS

    return TARGETS.names()


def _rungs() -> Sequence[str]:
    from qdeploy.verify.ladder import RUNGS

    return RUNGS


BOARD = NameType(_boards, "FILE.yaml")
TARGET = NameType(_targets)
RUNG = NameType(_rungs)

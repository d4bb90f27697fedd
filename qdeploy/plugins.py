"""Code of the user's own, named as `python:module:object` where a recipe takes a name.

A recipe is a file, and may come from anywhere: it only names the module. Whether that is loaded is
decided outside of files, by `allow`, which the command line calls for `--plugin MODULE` and for the
variable QDEPLOY_PLUGINS. What is named has to be a function or a class of that module, not
something that it imports: an allowed module opens no way to others.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdeploy.errors import PluginError, QDeployError, UserError

PREFIX = "python:"
_FORM = re.compile(r"python:([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_OWN = str(Path(__file__).resolve().parent)
# Module -> what is told of its loading; modules that were told of.
_allowed: dict[str, Callable[[str], None]] = {}
_told: set[str] = set()


@dataclass(frozen=True)
class Plugin:
    """A name `python:module:object`, taken apart."""

    module: str
    object: str

    @property
    def package(self) -> str:
        """The module's topmost package, which is what is allowed."""
        return self.module.partition(".")[0]


def is_plugin(name: object) -> bool:
    """Whether a name is one of the user's own code, in whatever form."""
    return isinstance(name, str) and name.startswith(PREFIX)


def parsed(name: str) -> Plugin:
    """The parts of a name.

    Raises:
        UserError: it is not of the form `python:module:object`.
    """
    found = _FORM.fullmatch(name)
    if found is None:
        raise UserError(
            f"`{name}` names no function of a module",
            do="write it as python:my_module:my_function",
        )
    return Plugin(*found.groups())


def allow(modules: Iterable[str], note: Callable[[str], None] | None = None) -> None:
    """Let recipes, runs and builds name these modules, and those inside of them, from now on.

    Args:
        modules: of top level, such as `my_module`.
        note: is told which file is loaded, once for each module.
    """
    for module in modules:
        if module.strip():
            _allowed[module.strip().partition(".")[0]] = note or (lambda _text: None)


def forbid_all() -> None:
    """As before the first `allow`."""
    _allowed.clear()
    _told.clear()


def load_plugin(name: str) -> Callable[..., Any]:
    """The function or class that `python:module:object` names.

    The working folder is searched last, after what is installed.

    Raises:
        UserError: the name has another form, the module is not allowed, or there is no function or
            class of its own by that name.
        PluginError: the module raises.
    """
    plugin = parsed(name)
    if plugin.package not in _allowed:
        raise UserError(
            f"the module `{plugin.package}` is not loaded: nobody allowed it",
            where=name,
            why="a module runs as code, and recipes, runs and builds may come from anywhere; which "
            "modules may be loaded is said on the command line or in the environment",
            do=f"if it is yours: `qdeploy --plugin {plugin.package} …`, or set QDEPLOY_PLUGINS="
            f"{plugin.package}; in Python, qdeploy.plugins.allow(['{plugin.package}'])",
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    with blamed(name):
        module = importlib.import_module(plugin.module)
    place = getattr(module, "__file__", None) or "no file"
    if plugin.module not in _told:
        _told.add(plugin.module)
        _allowed[plugin.package](f"plug-in: the module `{plugin.module}` is loaded from {place}")
    found = getattr(module, plugin.object, None)
    owner = str(getattr(found, "__module__", "") or "").partition(".")[0]
    if not callable(found) or owner != plugin.package:
        kind = "nothing" if found is None else f"a {type(found).__name__} of `{owner or '?'}`"
        raise UserError(
            f"the module `{plugin.module}` has no function or class `{plugin.object}` of its own",
            where=place,
            why=f"it has {kind} by that name",
            do=f"define `{plugin.object}` in `{plugin.package}`",
        )
    return found


@contextlib.contextmanager
def blamed(name: str) -> Iterator[None]:
    """Whatever is raised inside is the fault of the code called `name`, with its traceback.

    Raises:
        PluginError: for every exception but those of qdeploy and of the end of the program.
    """
    try:
        yield
    except QDeployError:
        raise
    except Exception as error:
        raise PluginError(
            f"the plug-in `{name}` raised {type(error).__name__}: {error}",
            where=_place(error),
            why="this happened in its code, not in qdeploy:\n" + _own_traceback(error),
            do="correct the plug-in",
        ) from error


def of_others(owner: str | None) -> AbstractContextManager[None]:
    """`blamed` for the code of `owner`; nothing for None, which is qdeploy's."""
    return contextlib.nullcontext() if owner is None else blamed(owner)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames from the first one that is neither qdeploy's nor the import machinery's on."""
    frames = list(traceback.extract_tb(error.__traceback__))
    for at, frame in enumerate(frames):
        if not frame.filename.startswith((_OWN, "<frozen", importlib.__file__ or "<")):
            return frames[at:]
    return []


def _place(error: BaseException) -> str | None:
    frames = _frames(error)
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    return f"{frames[0].filename}, line {frames[0].lineno}" if frames else None


def _own_traceback(error: BaseException) -> str:
    shown = traceback.format_list(_frames(error)) + traceback.format_exception_only(error)
    lines = "".join(shown).rstrip("\n").splitlines()
    return "\n".join(f"    {line}" for line in lines)

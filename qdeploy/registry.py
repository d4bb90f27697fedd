"""Things that are chosen by name, and that other packages can add to: networks, data sets, targets.

An entry is one line, `name = "module:object"`, for built-in entries in code and for those of other
packages in their project file, under the entry-point group of the registry:

    [project.entry-points."qdeploy.networks"]
    unet = "my_package.unet:UNET"

A registry may take plain functions too: an entry of its own then stands for them. Such a function
needs no package: it can be named as `python:module:function` (`qdeploy.plugins`). An entry is
imported when it is asked for by name. Installed packages are looked through when a name or the list
of names is needed, never on import of qdeploy.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from inspect import isclass, isroutine
from typing import Any, Generic, TypeVar, cast

from qdeploy.errors import InternalError, UserError, did_you_mean
from qdeploy.plugins import is_plugin, load_plugin, parsed

T = TypeVar("T")


@dataclass(frozen=True)
class _Entry:
    """Where one entry is: `module:object`, and the package that brings it, None for qdeploy."""

    value: str
    package: str | None = None

    @property
    def owner(self) -> str:
        return "qdeploy" if self.package is None else f"the package `{self.package}`"

    def load(self) -> object:
        module, _, attributes = self.value.partition(":")
        found: object = importlib.import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
        return found


class Registry(Generic[T]):
    """The entries of one kind, by name.

    Args:
        noun: what an entry is called in messages, in the singular, such as `data set`.
        group: entry-point group of other packages' entries.
        kind: class of every entry; also an abstract one or a protocol that can be checked.
        builtin: name -> `module:object` of qdeploy's own entries; as an attribute their names.
        plugin: `module:object` of qdeploy's entry that stands for every name `python:…`, and for
            functions of other packages; None where there are none.
    """

    def __init__(
        self,
        noun: str,
        group: str,
        kind: type,
        builtin: Mapping[str, str],
        plugin: str | None = None,
    ) -> None:
        self.noun, self.group, self.kind = noun, group, kind
        self._plugin = None if plugin is None else _Entry(plugin)
        self.builtin = tuple(builtin)
        self._builtin = {name: _Entry(value) for name, value in builtin.items()}

    def names(self) -> tuple[str, ...]:
        """Every name: qdeploy's own in their order, then those of other packages, sorted.

        Raises:
            UserError: when two packages have an entry of one name.
        """
        return tuple(self._entries())

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of that name; nothing is imported."""
        return self._named_plugin(name) or name in self._entries()

    def owner(self, name: str) -> str | None:
        """The package whose code an entry is, for messages; None where it is qdeploy's.

        Raises:
            UserError: as `names`.
        """
        if self._named_plugin(name):
            return name
        entry = self._entries()[name]
        return None if entry.package is None else f"{name} of {entry.package}"

    def _named_plugin(self, name: object) -> bool:
        return self._plugin is not None and is_plugin(name)

    def load(self, name: str) -> T:
        """The entry `name`, imported now.

        Raises:
            UserError: for an unknown name, with the nearest one; for an entry of another package
                that cannot be imported or is of another class, naming the package; as `names`.
        """
        entry = self._entry(name)
        loaded = self._imported(name, entry)
        if self._plugin is not None and entry.package is not None and _is_function(loaded):
            loaded = self._plugin.load()
        if not isinstance(loaded, self.kind):
            wrong = InternalError if entry.package is None else UserError
            raise wrong(
                f"the {self.noun} `{name}` of {entry.owner} is of class {type(loaded).__name__}, "
                f"not {self.kind.__name__}",
                where=self._where(entry),
                do=f"let the entry point name a {self.kind.__module__}.{self.kind.__name__}",
            )
        return cast(T, loaded)

    def function(self, name: str) -> Callable[..., Any]:
        """The function `python:module:function`, or that of another package, imported now.

        Raises:
            UserError: as `load` and `load_plugin`.
            PluginError: the module raises.
        """
        if is_plugin(name):
            return load_plugin(name)
        return cast(Callable[..., Any], self._imported(name, self._entry(name)))

    def resolve(self, name: str, value: str) -> object:
        """What the entry `name` refers to as `value`, `module:object`, imported now.

        Raises:
            UserError: when it cannot be imported and the entry is another package's.
        """
        return self._imported(name, replace(self._entry(name), value=value))

    def _entry(self, name: str) -> _Entry:
        if self._plugin is not None and is_plugin(name):
            parsed(name)
            return self._plugin
        entries = self._entries()
        if name not in entries:
            raise UserError(
                f"unknown {self.noun} `{name}`{did_you_mean(name, entries)}",
                do=f"choose one of: {', '.join(entries)}",
            )
        return entries[name]

    def _imported(self, name: str, entry: _Entry) -> object:
        try:
            return entry.load()
        except Exception as error:
            if entry.package is None:
                raise
            raise UserError(
                f"the {self.noun} `{name}` of {entry.owner} cannot be loaded",
                where=self._where(entry),
                why=f"{type(error).__name__}: {error}",
                do="repair, update or uninstall that package",
            ) from error

    def _where(self, entry: _Entry) -> str:
        return f"{entry.value}, for the entry point {self.group}"

    def _entries(self) -> dict[str, _Entry]:
        entries = dict(self._builtin)
        for name, entry in _installed(self.group, tuple(sys.path)):
            if name in entries:
                raise UserError(
                    f"two entries for the {self.noun} `{name}`: of {entries[name].owner} and of "
                    f"{entry.owner}",
                    where=f"entry points in {self.group}",
                    do="uninstall one of the packages, or rename one of the entries",
                )
            entries[name] = entry
        return entries


def _is_function(loaded: object) -> bool:
    return isroutine(loaded) or isclass(loaded)


@functools.cache
def _installed(group: str, path: tuple[str, ...]) -> tuple[tuple[str, _Entry], ...]:
    """The group's entries in the packages found on `path`, which is `sys.path`, sorted by name."""
    from importlib import metadata  # heavy, and needed only now

    found = [
        (one.name, _Entry(one.value, one.dist.name if one.dist is not None else "unknown"))
        for one in metadata.entry_points(group=group)
    ]
    return tuple(sorted(found, key=lambda pair: (pair[0], pair[1].package or "")))

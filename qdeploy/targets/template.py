"""Templates of packages whose text has `$` of its own: Verilog, Tcl, make."""

from __future__ import annotations

import string

from qdeploy.resources import resource


class _Template(string.Template):
    """Fields are `@@name` or `@@{name}`."""

    delimiter = "@@"


def filled(name: str, fields: dict[str, object]) -> str:
    """The text of a resource with its fields filled in.

    Args:
        name: of the resource, such as `export/ip/Makefile.in`.

    Raises:
        KeyError: the template has a field that is not given.
    """
    return _Template(resource(name).read_text(encoding="utf-8")).substitute(fields)

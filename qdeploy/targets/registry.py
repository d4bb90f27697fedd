"""The targets by name: each makes a deployment package of a finished build."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from qdeploy.boards import Board
from qdeploy.dataflow.design import Design
from qdeploy.errors import UserError
from qdeploy.lowering.integer_graph import IntegerGraph
from qdeploy.targets.frames import Frames
from qdeploy.targets.source import Source

# (build folder, design, board, integer graph, source, frames proven) -> one line about the package.
Package = Callable[[Path, Design, Board, IntegerGraph, Source, Frames], str]

# Name -> module, which offers `package`; imported when it is asked for.
TARGETS: dict[str, str] = {"pynq": "qdeploy.targets.pynq"}


def find_target(name: str) -> Package:
    """What makes the package of the target `name`.

    Raises:
        UserError: when there is none of that name; lists the known ones.
    """
    if name in TARGETS:
        return cast(Package, importlib.import_module(TARGETS[name]).package)
    near = difflib.get_close_matches(name.lower(), TARGETS, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise UserError(
        f"the target `{name}` is not known", do=f"{hint}known targets: {', '.join(sorted(TARGETS))}"
    )

"""The targets by name: each makes a deployment package of a finished build, and says early on what
it cannot make one of."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.verify.frames import Frames


class Target(Protocol):
    """What the module of a target offers."""

    def check_network(self, graph: IntegerGraph, /) -> None:
        """Refuse a network that the target cannot run, before anything is made of it.

        Raises:
            UnsupportedLayerError: says why.
        """

    def check_design(self, design: Design, /) -> None:
        """Refuse a design that the target cannot hold, before it is sized and synthesized.

        Raises:
            FoldingError: says why.
        """

    def package(
        self,
        build: Path,
        design: Design,
        board: Board,
        graph: IntegerGraph,
        frames: Frames,
        /,
        *,
        classes: Sequence[str],
        input_bits: int,
    ) -> str:
        """Make the package of the finished build folder, with some of the frames it was proven
        with; one line about it.

        Args:
            classes: names of the classes, empty where unknown.
            input_bits: width of an input code.
        """


# Name -> module, which is a `Target`; imported when it is asked for.
TARGETS: dict[str, str] = {"pynq": "qdeploy.targets.pynq.package"}


def find_target(name: str) -> Target:
    """The target `name`.

    Raises:
        UserError: when there is none of that name; lists the known ones.
    """
    if name in TARGETS:
        return cast(Target, importlib.import_module(TARGETS[name]))
    near = difflib.get_close_matches(name.lower(), TARGETS, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise UserError(
        f"the target `{name}` is not known", do=f"{hint}known targets: {', '.join(sorted(TARGETS))}"
    )

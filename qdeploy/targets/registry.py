"""The targets by name: each makes a deployment package of a verified design."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from qdeploy.boards import Board
from qdeploy.dataflow.design import Design
from qdeploy.errors import UserError
from qdeploy.lowering.integer_graph import IntegerGraph
from qdeploy.targets.frames import Frames
from qdeploy.targets.source import Source

# (build folder, design, board, integer graph, source, frames proven) -> one line about the package.
Package = Callable[[Path, Design, Board, IntegerGraph, Source, Frames], str]


class MakePackage(Protocol):
    """What a target's module offers as `make_package`; `qdeploy.targets.pynq` says what each
    argument is."""

    def __call__(
        self,
        build: Path,
        design: Design,
        board: Board,
        golden_inputs: npt.NDArray[np.uint8],
        golden_outputs: npt.NDArray[np.int64],
        *,
        classes: Sequence[str] = (),
        clock_mhz: float | None = None,
        input_bits: int | None = None,
        cycles_per_frame: int | None = None,
    ) -> Path: ...


@dataclass(frozen=True)
class Target:
    """A target: its name for `--target`, one line about it, the module that makes its package."""

    name: str
    summary: str
    module: str

    def make_package(self) -> MakePackage:
        """The function that makes the package; imports the target's module."""
        return cast(MakePackage, importlib.import_module(self.module).make_package)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            "pynq",
            "RTL, Vivado project, Python driver and notebook for a board that runs PYNQ",
            "qdeploy.targets.pynq",
        ),
    )
}


def load_target(name: str) -> Target:
    """The target `name`.

    Raises:
        UserError: when there is none of that name; lists the known ones.
    """
    if name in TARGETS:
        return TARGETS[name]
    near = difflib.get_close_matches(name.lower(), TARGETS, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    raise UserError(
        f"the target `{name}` is not known", do=f"{hint}known targets: {', '.join(sorted(TARGETS))}"
    )


def find_target(name: str) -> Package:
    """What makes the package of a finished build for the target `name`; errors as `load_target`."""
    return cast(Package, importlib.import_module(load_target(name).module).package)

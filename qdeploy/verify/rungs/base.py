"""What a rung is: it runs one level of a build on the frames and compares it with the reference."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from qdeploy.verify.compare import Comparison, first_difference
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult


class Rung(ABC):
    """One level of the ladder.

    Attributes:
        name: what `verify.json`, `--require` and `--skip` call it.
        needs: files or folders of the build folder that it reads. A build that lacks one is not
            complete, which is an error; what a build may lack, `absent` names.
        counts_beats: whether every beat of every frame is counted at the boundaries.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str | Path, ...]] = ()
    counts_beats: ClassVar[bool] = False

    def absent(self, inputs: LadderInputs) -> str | None:
        """Why this build has no such level, for people; None when it has."""
        return None

    def begin(self, inputs: LadderInputs, stack: ExitStack) -> None:
        """Start what takes long and needs no other level, such as a compiler, before its turn.

        What fails is raised by `run`.

        Args:
            stack: ends it, whether the rung has run or not.
        """
        return

    @abstractmethod
    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        """Run the level and compare it.

        Args:
            reference: codes of the integer graph at every boundary.
            required: run however long it takes.

        Raises:
            ToolMissingError: a program that the level needs is not installed.
        """


def exact_result(name: str, total: Comparison, details: dict[str, Any] | None = None) -> RungResult:
    """The result of a level that has to equal the integer graph in every code."""
    return RungResult(
        name,
        frames=total.frames,
        boundaries=total.boundaries,
        codes=total.codes,
        mismatches=total.mismatches,
        note=total.first.sentence() if total.first else "",
        details={**(details or {}), **first_difference(total.first)},
    )

"""What a step of a build is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from qdeploy.build.options import Options
from qdeploy.build.state import BuildState
from qdeploy.devices.boards import Board


class Step(ABC):
    """One step of a build.

    Attributes:
        name: what a target declares it by.
        after: steps whose results it reads, which a target has to declare before it.
        needs_board: whether it can only run for a board.
    """

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]] = ()
    needs_board: ClassVar[bool] = False

    def check(self, options: Options, board: Board | None) -> None:
        """Refuse options that are wrong in themselves, before anything is done.

        Raises:
            UserError: says which and why.
        """
        return

    @abstractmethod
    def run(self, state: BuildState) -> str | None:
        """Do the step, write its files to the build folder and add its result to the state.

        Returns:
            None to go on, or the earlier step to go back to.
        """

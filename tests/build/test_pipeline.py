"""What a target may declare as its steps, and going back to an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from qdeploy.build.pipeline import load_steps, run_steps
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.errors import InternalError
from qdeploy.targets.finished import FinishedBuild
from qdeploy.targets.target import Target


def target(*declared: str) -> Target:
    class Declared(Target):
        name = "declared"
        steps = declared

        def package(self, build: FinishedBuild) -> str:
            return ""

    return Declared()


def test_steps_come_in_the_order_in_which_they_are_declared() -> None:
    names = ("lower", "frames", "package", "ladder", "record")
    assert [step.name for step in load_steps(target(*names))] == list(names)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ((), "its last step has to be `record`"),
        (("lower", "package"), "its last step has to be `record`"),
        (("lower", "fold", "record"), "there is no step `fold`"),
        (("lower", "ladder", "record"), "the step `ladder` needs `frames` before it"),
        (("package", "lower", "record"), "the step `package` needs `lower` before it"),
    ],
)
def test_a_declaration_that_is_not_sound_is_refused(names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InternalError, match=reason):
        load_steps(target(*names))


def test_a_step_may_send_the_build_back_to_an_earlier_one() -> None:
    ran: list[str] = []

    class One(Step):
        def __init__(self, name: str, back: list[str | None]) -> None:
            self.name, self.back = name, back  # type: ignore[misc]

        def run(self, state: BuildState) -> str | None:
            ran.append(self.name)
            return self.back.pop(0) if self.back else None

    steps = [One("first", []), One("fold", []), One("size", []), One("check", ["fold", "fold"])]
    run_steps(steps, cast(Any, None))
    assert ran == ["first", *("fold", "size", "check") * 3]


def test_the_result_of_a_step_that_has_not_run_is_a_fault() -> None:
    assert made(Path("graph"), "lower") == Path("graph")
    with pytest.raises(InternalError, match="the step `lower` is needed"):
        made(None, "lower")

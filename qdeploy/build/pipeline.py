"""The steps of a build in the order in which its target declares them.

For pynq: QONNX -> integer graph -> FINN and RTL -> FIFO depths -> synthesis -> ladder -> package
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from qdeploy.build.state import BuildState
from qdeploy.build.steps.base import Step
from qdeploy.errors import InternalError
from qdeploy.targets.target import Target

# Name -> module and class. A step is imported when a target declares it: a build whose target has
# no hardware never loads FINN, the simulation or synthesis.
_STEPS = {
    "lower": ("qdeploy.build.steps.lower", "Lower"),
    "check_hardware": ("qdeploy.build.steps.check_hardware", "CheckHardware"),
    "frames": ("qdeploy.build.steps.frames", "TakeFrames"),
    "score": ("qdeploy.build.steps.score", "Score"),
    "compile": ("qdeploy.build.steps.compile", "Compile"),
    "size_fifos": ("qdeploy.build.steps.size_fifos", "SizeFifos"),
    "synthesize": ("qdeploy.build.steps.synthesize", "Synthesize"),
    "time_paths": ("qdeploy.build.steps.time_paths", "TimePaths"),
    "place": ("qdeploy.build.steps.place", "Place"),
    "estimate": ("qdeploy.build.steps.estimate", "Estimate"),
    "generate_c": ("qdeploy.build.steps.generate_c", "GenerateC"),
    "ladder": ("qdeploy.build.steps.ladder", "Ladder"),
    "package": ("qdeploy.build.steps.package", "Package"),
    "record": ("qdeploy.build.steps.record", "Record"),
}
LAST = "record"


def load_steps(target: Target) -> list[Step]:
    """The steps that a target declares.

    Raises:
        InternalError: the declaration is not sound: an unknown step, one before a step whose result
            it needs, or an end without `record`.
    """
    declared = target.steps
    if not declared or declared[-1] != LAST:
        raise _unsound(target, f"its last step has to be `{LAST}`")
    steps: list[Step] = []
    for position, name in enumerate(declared):
        if name not in _STEPS:
            raise _unsound(target, f"there is no step `{name}`, only {', '.join(_STEPS)}")
        module, attribute = _STEPS[name]
        step = getattr(importlib.import_module(module), attribute)()
        assert isinstance(step, Step)
        for before in step.after:
            if before not in declared[:position]:
                raise _unsound(target, f"the step `{name}` needs `{before}` before it")
        steps.append(step)
    return steps


def run_steps(steps: Sequence[Step], state: BuildState) -> None:
    """Run steps in order; one that says so goes back to an earlier one.

    Raises:
        UserError: a mistake a person can fix, such as a layer without a hardware unit.
        DoesNotFitError: the design at the rate requested is larger than the board.
    """
    names = [step.name for step in steps]
    position = 0
    while position < len(steps):
        back = steps[position].run(state)
        position = position + 1 if back is None else names.index(back)


def _unsound(target: Target, reason: str) -> InternalError:
    return InternalError(f"the steps of the target `{target.name}` are not sound: {reason}")

"""The step `check_hardware`: a layer without a hardware unit is refused here, in seconds."""

from __future__ import annotations

from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.dataflow.compile import hardware_layers


class CheckHardware(Step):
    """Its hardware layers are dropped: the step `compile` makes them again after its own checks."""

    name = "check_hardware"
    after = ("lower",)

    def run(self, state: BuildState) -> None:
        hardware_layers(made(state.graph, "lower"), loadable=state.options.runtime_weights)

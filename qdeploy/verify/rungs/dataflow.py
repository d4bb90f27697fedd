"""The dataflow rung: FINN's hardware layers, node by node in Python."""

from __future__ import annotations

from qdeploy.build_folder import HARDWARE_FILE
from qdeploy.dataflow.finn.execute import DataflowExecutor
from qdeploy.dataflow.finn.models import read_model
from qdeploy.verify.compare import compare
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result


class DataflowRung(Rung):
    """Node execution of the hardware layers."""

    name = "dataflow"
    needs = (HARDWARE_FILE,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        hardware = read_model(inputs.folder / HARDWARE_FILE)
        actual = DataflowExecutor(hardware, inputs.graph).run(inputs.frames)
        return exact_result(self.name, compare(inputs.graph.boundaries(), reference, actual))

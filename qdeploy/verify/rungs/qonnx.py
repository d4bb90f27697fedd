"""The qonnx rung: the QONNX file in the official executor."""

from __future__ import annotations

from qdeploy.build_folder import QONNX_FILE
from qdeploy.verify.float_levels import float_result, qonnx_level
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung


class QonnxRung(Rung):
    """Computes in float32: exact where every scale is a power of two."""

    name = "qonnx"
    needs = (QONNX_FILE,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        count = min(inputs.qonnx_frames, len(inputs.frames))
        level = qonnx_level(inputs.folder / QONNX_FILE, inputs.graph, inputs.frames[:count])
        return float_result(self.name, inputs, reference, level)

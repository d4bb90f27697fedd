"""The average of a series as torch's newer exporter writes it.

Unsqueeze -> ReduceMean over the map -> Flatten     =     GlobalAveragePool -> Flatten
"""

from __future__ import annotations

from onnx import ModelProto, helper

from qdeploy.lowering.canonical.edit import Edit, integers
from qdeploy.lowering.canonical.passes import Pass, PassResult


class MeanOfRow(Pass):
    """The wrapped average becomes one of the series itself."""

    def call(self, model: ModelProto) -> PassResult:
        edit = Edit(model)
        for wrap in edit.of_kind("Unsqueeze"):
            mean = edit.only_reader(wrap.output[0])
            if mean is None or mean.op_type != "ReduceMean":
                continue
            last = edit.only_reader(mean.output[0])
            rank = len(edit.shape(wrap.output[0]))
            axes = sorted(axis % rank for axis in integers(edit, mean, "axes", 1) or [])
            series = len(edit.shape(wrap.input[0])) == 3 and rank == 4
            if series and axes == [2, 3] and last is not None and last.op_type == "Flatten":
                made = helper.make_node(
                    "GlobalAveragePool", [wrap.input[0]], [mean.output[0]], mean.name
                )
                edit.replace(mean, [made])
                edit.remove(wrap)
        return PassResult(model, edit.apply())

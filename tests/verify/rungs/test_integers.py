"""The int rung on files that are not this network's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from random_graphs import small_convnet

from qdeploy.build_folder import INT_FILE
from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.errors import VerificationError
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.ladder import climb


@pytest.fixture
def inputs(tmp_path: Path) -> LadderInputs:
    maker = small_convnet()
    graph = maker.graph()
    emit_onnx(graph, tmp_path / INT_FILE)
    return LadderInputs(tmp_path, graph, None, maker.frames(4), tmp_path / "cache", rtl_frames=1)


def test_the_networks_own_file_is_exact(inputs: LadderInputs) -> None:
    (found,) = climb(inputs, rungs=("int",))
    assert found.mismatches == 0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_file_of_other_shapes_is_a_failure_of_the_file(inputs: LadderInputs, axis: int) -> None:
    path = inputs.folder / INT_FILE
    model = onnx.load(path)
    name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["before" if one == name else one for one in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([axis]), "axes"))
    model.graph.node.append(onnx.helper.make_node("Unsqueeze", ["before", "axes"], [name]))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    with pytest.raises(VerificationError, match=r"model\.int\.onnx is not the file of this build"):
        climb(inputs, rungs=("int",))

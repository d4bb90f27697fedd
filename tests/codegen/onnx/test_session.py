"""The session on an integer network: what it runs, and what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from hand_made_graphs import graph_of, tensor

from qdeploy.codegen.onnx.model import emit_onnx
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.errors import UserError
from qdeploy.ir.integer_graph import Bias, Dense, IntegerGraph


def dense_with_bias() -> IntegerGraph:
    """Bytes -> the sum of all three, less two and less one."""
    nodes = [
        Dense("fc", "fc", ("input",), "acc", np.ones((2, 3), np.int64)),
        Bias("bias", "fc", ("acc",), "logits", np.array([-2, -1])),
    ]
    return graph_of(
        nodes,
        tensor("input", (3,), 0, 255),
        tensor("acc", (2,), 0, 765),
        tensor("logits", (2,), -2, 764),
    )


@pytest.mark.parametrize("kept", [0, 40, None], ids=["empty", "cut short", "missing"])
def test_a_damaged_file_is_a_user_error_that_names_it(kept: int | None, tmp_path: Path) -> None:
    graph = dense_with_bias()
    path = tmp_path / "model.int.onnx"
    emit_onnx(graph, path, taps=False)
    data = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(data[:-kept] if kept else b"")
    with pytest.raises(UserError, match=r"`model\.int\.onnx` cannot be read") as caught:
        IntSimulator(path)
    assert caught.value.where == str(path) and caught.value.why and caught.value.do


def test_the_simulator_refuses_codes_that_do_not_fit(tmp_path: Path) -> None:
    emit_onnx(dense_with_bias(), tmp_path / "int.onnx")
    simulator = IntSimulator(tmp_path / "int.onnx")
    with pytest.raises(UserError, match="do not fit uint8"):
        simulator.run(np.array([[0, 1, 256]]))
    with pytest.raises(UserError, match="shape"):
        simulator.run(np.zeros((1, 4), np.uint8))
    with pytest.raises(UserError, match="float64"):
        simulator.run(np.zeros((1, 3)))
    assert simulator.run(np.array([[1, 2, 3]]))["logits"].tolist() == [[4, 5]]

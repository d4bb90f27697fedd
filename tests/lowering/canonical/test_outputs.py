"""Files of several outputs: one of them is built, by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dialect_writer import quantized
from onnx import ModelProto, TensorProto, helper
from written_files import frames_of, official, save

from qdeploy.build.inspect import inspect
from qdeploy.errors import UnsupportedLayerError, UserError
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.import_qonnx import canonical, notes_of
from qdeploy.lowering.integers.lower import lower_model


def two_heads() -> ModelProto:
    """Classes of a map, and a float result that no hardware computes."""
    file, x = quantized()
    y = file.block(x, 3, 4)
    classes = file.classes(y, 144)
    other = file.op("Softplus", file.conv(y, 4, 2))
    model = file.model(classes, (1, 5))
    for old, new in ((classes, "classes"), (other, "depth")):
        for node in model.graph.node:
            node.output[:] = [new if name == old else name for name in node.output]
    model.graph.output[0].name = "classes"
    shape = (1, 2, 6, 6)
    model.graph.output.append(helper.make_tensor_value_info("depth", TensorProto.FLOAT, shape))
    return model


def test_one_output_is_exact_and_the_rest_is_cut_off(tmp_path: Path) -> None:
    model, (codes, values) = two_heads(), frames_of((3, 6, 6))
    made = canonical(save(model, tmp_path), output="classes")
    assert not any(node.op_type == "Softplus" for node in made.graph.node)
    assert any("`depth` and what only they need were cut off" in note for note in notes_of(made))
    graph = lower_model(made).graph
    found = graph.head.values(run_reference(graph, codes)[graph.logits])
    np.testing.assert_allclose(found, official(model, values, "classes"), rtol=1e-5)


def test_outputs_of_two_sizes_are_named_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="different sizes") as caught:
        canonical(save(two_heads(), tmp_path))
    assert "`classes` (5,), `depth` (2, 6, 6)" in str(caught.value.where)
    assert "--output depth" in str(caught.value.do)


def test_the_head_that_is_chosen_may_be_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedLayerError, match="Softplus has no hardware"):
        lower_model(canonical(save(two_heads(), tmp_path), output="depth"))


def test_an_output_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no output `class`") as caught:
        canonical(save(two_heads(), tmp_path), output="class")
    assert "`classes`, `depth`" in str(caught.value.why)


def test_the_only_output_may_be_named(tmp_path: Path) -> None:
    file, x = quantized()
    y = file.classes(x, 108)
    made = canonical(save(file.model(y, (1, 5)), tmp_path), output=y)
    assert notes_of(made) == []


def test_inspect_looks_at_one_output(tmp_path: Path) -> None:
    found = inspect(save(two_heads(), tmp_path), output="classes")
    assert found.graph.tensors["logits"].shape == (5,)
    assert "Softplus" not in found.operators

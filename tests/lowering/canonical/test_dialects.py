"""Files as people have them: the same network in another dialect gives the same logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from written_files import FileWriter, convnet, frames_of, logits_of, official, save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.dialect import NEWEST
from qdeploy.lowering.canonical.import_qonnx import canonical, notes_of

CODES, VALUES = frames_of((3, 6, 6))


def plain(**options: object) -> ModelProto:
    file, codes = convnet(**options)
    return file.model(file.head(file.op("Flatten", codes, axis=1), 144), (1, 5))


def expected() -> np.ndarray:
    return official(plain(), VALUES)


def agrees(model: ModelProto, folder: Path) -> bool:
    found = logits_of(save(model, folder), CODES)
    wanted = expected()
    return len(np.unique(wanted)) > 50 and np.array_equal(found, wanted)


def _imports_missing(model: ModelProto) -> None:
    for item in [item for item in model.opset_import if item.domain]:
        model.opset_import.remove(item)


def _unsorted(model: ModelProto) -> None:
    nodes = list(reversed(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _initializers_as_inputs(model: ModelProto) -> None:
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )


def _repeated_value_info(model: ModelProto) -> None:
    model.graph.value_info.extend([model.graph.input[0], model.graph.output[0]])


def _wrong_shapes(model: ModelProto) -> None:
    model.graph.value_info.append(
        helper.make_tensor_value_info("t5", TensorProto.FLOAT, (1, 7, 7, 7))
    )


def _one_name(model: ModelProto) -> None:
    for node in model.graph.node:
        node.name = "node"


def _no_names(model: ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""


def _doubles(model: ModelProto) -> None:
    for index, tensor in enumerate(model.graph.initializer):
        array = numpy_helper.to_array(tensor).astype(np.float64)
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(array, tensor.name))
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.elem_type = TensorProto.DOUBLE


def _constants_as_nodes(model: ModelProto) -> None:
    nodes = [
        helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in model.graph.initializer
    ]
    del model.graph.initializer[:]
    nodes += list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _dynamic_batch(model: ModelProto) -> None:
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.shape.dim[0].dim_param = "batch"


def _batch_of_eight(model: ModelProto) -> None:
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.shape.dim[0].dim_value = 8


CHANGES = (
    _imports_missing,
    _unsorted,
    _initializers_as_inputs,
    _repeated_value_info,
    _wrong_shapes,
    _one_name,
    _no_names,
    _doubles,
    _constants_as_nodes,
    _dynamic_batch,
    _batch_of_eight,
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_in_another_dialect_gives_the_same_logits(
    change: Callable[[ModelProto], None], tmp_path: Path
) -> None:
    model = plain()
    change(model)
    assert agrees(model, tmp_path)


@pytest.mark.parametrize("domain", ["onnx.brevitas", "finn.custom_op.general"])
@pytest.mark.parametrize("imported", [True, False])
def test_other_names_of_the_domain(domain: str, imported: bool, tmp_path: Path) -> None:
    model = plain(domain=domain)
    if not imported:
        _imports_missing(model)
    assert agrees(model, tmp_path)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 18, 21, NEWEST])
def test_operator_sets(opset: int, tmp_path: Path) -> None:
    assert agrees(plain(opset=opset), tmp_path)


@pytest.mark.parametrize("opset", [1, 6, NEWEST + 1, 1000])
def test_an_operator_set_of_the_past_or_the_future_is_refused(opset: int, tmp_path: Path) -> None:
    model = plain()
    model.opset_import[0].version = opset
    with pytest.raises(UnsupportedLayerError, match=f"operator set {opset} of ONNX"):
        canonical(save(model, tmp_path))


@pytest.mark.parametrize("ir_version", range(3, 11))
def test_ir_versions(ir_version: int, tmp_path: Path) -> None:
    model = plain()
    model.ir_version = ir_version
    if ir_version == 3:
        _initializers_as_inputs(model)
    assert agrees(model, tmp_path)


def test_what_the_file_of_a_batch_says_is_noted(tmp_path: Path) -> None:
    model = plain()
    _batch_of_eight(model)
    (note,) = notes_of(canonical(save(model, tmp_path)))
    assert "batch of 8 frames" in note


def test_a_circle_of_nodes_is_refused(tmp_path: Path) -> None:
    model = plain()
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    flat = next(node for node in model.graph.node if node.op_type == "Flatten")
    conv.input[0] = flat.output[0]
    with pytest.raises(UnsupportedLayerError, match="form a circle") as caught:
        canonical(save(model, tmp_path))
    assert "node `" in str(caught.value.where)


FLATTENS: dict[str, Callable[[FileWriter, str], str]] = {
    "reshape to a constant": lambda f, t: f.op("Reshape", t, f.constant([1, 144], np.int64)),
    "reshape to -1": lambda f, t: f.op("Reshape", t, f.constant([-1, 144], np.int64)),
    "reshape with 0": lambda f, t: f.op("Reshape", t, f.constant([0, -1], np.int64)),
    "view of the shape": lambda f, t: f.op(
        "Reshape",
        t,
        f.op(
            "Concat",
            f.op(
                "Unsqueeze",
                f.op("Gather", f.op("Shape", t), f.constant(0, np.int64), axis=0),
                f.constant([0], np.int64),
            ),
            f.constant([-1], np.int64),
            axis=0,
        ),
    ),
    "squeeze of a reshape": lambda f, t: f.op(
        "Squeeze",
        f.op("Reshape", t, f.constant([1, 144, 1], np.int64)),
        f.constant([2], np.int64),
    ),
}


# Files of these are for one frame, or any number of them.
OF_ONE_FRAME = ("reshape to -1", "squeeze of a reshape")


@pytest.mark.parametrize(
    ("name", "batch"),
    [
        (name, batch)
        for name in FLATTENS
        for batch in (1, 4, "N")
        if batch != 4 or name not in OF_ONE_FRAME
    ],
)
def test_flattening_in_other_words(name: str, batch: object, tmp_path: Path) -> None:
    file, codes = convnet(batch=batch)
    flat = FLATTENS[name](file, codes)
    model = file.model(file.head(flat, 144), (batch, 5))
    if batch == 4 and name == "reshape to a constant":
        tensor = next(t for t in model.graph.initializer if list(t.dims) == [2])
        tensor.CopyFrom(numpy_helper.from_array(np.array([4, 144]), tensor.name))
    assert agrees(model, tmp_path)


def test_constants_beside_the_file_are_read_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    onnx.save(plain(), path, save_as_external_data=True, location="data.bin", size_threshold=0)
    assert np.array_equal(logits_of(path, CODES), expected())
    data = (tmp_path / "data.bin").read_bytes()
    (tmp_path / "data.bin").write_bytes(data[:-4])
    with pytest.raises(UnsupportedLayerError, match="cannot be read") as caught:
        canonical(path)
    assert "bytes" in str(caught.value.why)
    (tmp_path / "data.bin").unlink()
    with pytest.raises(UnsupportedLayerError, match="cannot be read") as caught:
        canonical(path)
    assert "no file in the model's folder" in str(caught.value.why)


@pytest.mark.parametrize(
    "location", ["../data.bin", "/etc/passwd", "link.bin", "", "b" * 300, "a\0b"]
)
def test_constants_elsewhere_are_not_read(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "data.bin").write_bytes(b"\0" * 4096)
    (folder / "link.bin").symlink_to(tmp_path / "data.bin")
    model = plain()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = folder / "network.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedLayerError) as caught:
        canonical(path)
    assert "no file in the model's folder" in str(caught.value.why)

"""What the host does with the logits is cut off, with a note."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto
from written_files import FileWriter, convnet, frames_of, logits_of, official, save

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.import_qonnx import canonical, notes_of


def logits(file: FileWriter, codes: str) -> str:
    return file.head(file.op("Flatten", codes, axis=1), 144)


HEADS = {
    "Softmax": lambda f, t: f.op("Softmax", t, axis=1),
    "LogSoftmax": lambda f, t: f.op("LogSoftmax", t, axis=-1),
    "Sigmoid": lambda f, t: f.op("Sigmoid", t),
    "ArgMax": lambda f, t: f.op("ArgMax", t, axis=1, keepdims=0),
    "ArgMax of Softmax": lambda f, t: f.op("ArgMax", f.op("Softmax", t, axis=1), axis=1),
    "Unsqueeze": lambda f, t: f.op("Unsqueeze", t, f.constant([2], np.int64)),
    "Softmax of Identity": lambda f, t: f.op("Softmax", f.op("Identity", t), axis=1),
}


@pytest.mark.parametrize("name", HEADS)
def test_the_network_ends_in_its_logits(name: str, tmp_path: Path) -> None:
    file, codes = convnet()
    wanted = logits(file, codes)
    kind = TensorProto.INT64 if "ArgMax" in name else TensorProto.FLOAT
    model = file.model(HEADS[name](file, wanted), None, output_type=kind)
    path = save(model, tmp_path)
    frames, values = frames_of((3, 6, 6))
    expected = official(model, values, wanted)
    assert len(np.unique(expected)) > 50
    assert np.array_equal(logits_of(path, frames), expected)
    notes = notes_of(canonical(path))
    assert len(notes) == (0 if name == "Unsqueeze" else 2 if name == "ArgMax of Softmax" else 1)
    assert all("was cut off" in note for note in notes)


def test_the_class_of_the_file_is_that_of_the_logits(tmp_path: Path) -> None:
    file, codes = convnet()
    chosen = file.op("ArgMax", logits(file, codes), axis=1, keepdims=0)
    model = file.model(chosen, (1,), output_type=TensorProto.INT64)
    frames, values = frames_of((3, 6, 6), 60)
    classes = official(model, values)
    assert len(np.unique(classes)) > 1
    assert np.array_equal(logits_of(save(model, tmp_path), frames).argmax(axis=1), classes)


def test_a_choice_among_other_things_than_channels_is_refused(tmp_path: Path) -> None:
    file, codes = convnet()
    sums = file.op("Conv", codes, file.weights(3, 4, 1, 1), kernel_shape=[1, 1])
    model = file.model(file.op("ArgMax", sums, axis=2), None, output_type=TensorProto.INT64)
    with pytest.raises(UnsupportedLayerError, match="its axis is 2"):
        canonical(save(model, tmp_path))

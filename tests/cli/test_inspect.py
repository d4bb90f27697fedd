"""`qdeploy inspect`: what a file holds and what becomes of it, without building anything."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from onnx import TensorProto
from written_files import FileWriter, convnet, save

from qdeploy.cli.main import qdeploy, run


def network(folder: Path) -> Path:
    """2x - 1 on the input, a convolution, a residual sum, logits with a Softmax behind them."""
    file = FileWriter((1, 3, 6, 6))
    centred = file.op("Sub", file.op("Mul", "x", file.constant(2.0)), file.constant(1.0))
    codes = file.activation(file.conv(file.quant(centred, 2**-7, 8, signed=1), 3, 4))
    branch = file.quant(file.conv(codes, 4, 4), 0.5, 2, signed=0)
    joined = file.activation(file.op("Add", codes, branch), bits=4)
    logits = file.head(file.op("Flatten", joined, axis=1), 144)
    return save(file.model(file.op("Softmax", logits, axis=1), (1, 5)), folder, "shown")


def test_the_table_says_where_every_layer_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = network(tmp_path)
    assert run(qdeploy, ["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "QONNX file `shown.onnx`: " in shown
    assert "(Softmax) at the end was cut off" in shown
    (first,) = [line for line in shown.splitlines() if line.startswith("  input")]
    assert "3x6x6" in first and "s8 -128..127" in first and "host (Mul, Sub, Quant)" in first
    assert shown.count("matrix unit") == 3 and "adder of streams" in shown
    assert "(Relu, Quant)" in shown and "nothing: the order stays" in shown
    (total,) = [line for line in shown.splitlines() if line.startswith("  total")]
    assert f"{4 * 3 * 9 + 4 * 4 * 9 + 144 * 5:,}" in total
    assert sorted(item.name for item in tmp_path.iterdir()) == ["shown.onnx"]


def test_the_facts_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(qdeploy, ["inspect", str(network(tmp_path)), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["input"] == {"shape": [3, 6, 6], "codes": "s8 -128..127", "scale": 2**-7}
    assert facts["operators"]["Conv"] == 2 and "Softmax" not in facts["operators"]
    assert facts["weights"] == sum(layer["weights"] for layer in facts["layers"])
    assert facts["macs"] == 36 * (4 * 3 * 9 + 4 * 4 * 9) + 144 * 5
    assert any("cut off" in note for note in facts["notes"])


def test_the_picture_has_a_box_for_every_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "network.svg"
    assert run(qdeploy, ["inspect", str(network(tmp_path)), "--graph", str(picture)]) == 0
    assert str(picture) in capsys.readouterr().out
    root = ET.fromstring(picture.read_text())
    name = "{http://www.w3.org/2000/svg}"
    boxes, arrows = root.findall(f"{name}rect"), root.findall(f"{name}path")
    run(qdeploy, ["inspect", str(network(tmp_path)), "--json"])
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert len(boxes) == len(layers) + 1
    assert len(arrows) == len(layers) + 1  # one for each layer, and the branch's second
    (bent,) = [arrow for arrow in arrows if arrow.get("d", "").count("L") == 3]
    right = float(bent.get("d", "").split("L")[1].split()[0])
    assert right < float(root.get("width", "0"))


def test_a_refusal_names_the_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, codes = convnet()
    gated = file.op("Mul", codes, file.op("Sigmoid", codes))
    path = save(file.model(gated, (1, 4, 6, 6)), tmp_path)
    assert run(qdeploy, ["inspect", str(path)]) == 2
    assert "cannot become hardware" in capsys.readouterr().err


def test_integers_of_the_input_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = FileWriter((1, 3, 6, 6))
    codes = file.activation(file.conv("x", 3, 4))
    model = file.model(file.head(file.op("Flatten", codes, axis=1), 144), (1, 5))
    path = save(model, tmp_path)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert run(qdeploy, ["inspect", str(path)]) == 2
    assert "--input uint8" in capsys.readouterr().err
    assert run(qdeploy, ["inspect", str(path), "--input", "uint8:1/255"]) == 0
    assert "u8 0..255" in capsys.readouterr().out

"""Files with MultiThreshold and Trunc, through `export` to RTL: no code differs on any rung."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from dialect_writer import DialectWriter, image, quantized

from qdeploy.build.build import build
from qdeploy.build.options import Options

Made = tuple[DialectWriter, str, dict[str, str]]


def levels(file: DialectWriter, source: str, table: np.ndarray, **how: float) -> str:
    edges = file.constant(np.sort(table, axis=1))
    return file.op("MultiThreshold", source, edges, domain=file.domain, out_dtype="INT8", **how)


def finn_dialect() -> Made:
    """Bytes, integer weights, thresholds to -1 and +1 and to half steps, no Quant at all."""
    file = image((2, 5, 5), domain="finn.custom_op.general")
    notes = {"x": "UINT8"}

    def weights(kind: str, *shape: int) -> str:
        ends = (-1, 1) if kind == "BIPOLAR" else (-3, 3)
        values = file.rng.integers(ends[0], ends[1] + 1, shape)
        name = file.constant(np.where(values == 0, 1, values) if kind == "BIPOLAR" else values)
        notes[name] = kind
        return name

    def norm(y: str) -> str:
        factor = file.constant(np.array([1, -0.3, 0.7, 2]).reshape(1, 4, 1, 1))
        return file.op("Add", file.op("Mul", y, factor), file.constant(0.4))

    y = file.op("Conv", "x", weights("INT3", 4, 2, 3, 3), kernel_shape=[3, 3], pads=[1] * 4)
    y = levels(file, norm(y), file.rng.normal(size=(4, 7)) * 900, out_scale=2.0, out_bias=-7.0)
    y = file.op("Conv", y, weights("BIPOLAR", 4, 4, 3, 3), kernel_shape=[3, 3], pads=[1] * 4)
    y = levels(file, norm(y), file.rng.normal(size=(4, 1)) * 8, out_scale=2.0, out_bias=-1.0)
    y = file.op("MatMul", file.flat(y), weights("BIPOLAR", 100, 4))
    return file, file.op("Mul", y, file.constant(0.0625)), notes


def cut_averages() -> Made:
    """Windows and the whole map, each cut as Brevitas' TruncAvgPool2d does."""
    file, x = quantized((2, 6, 6))
    y = file.block(x, 2, 4, scale=0.3, bits=4)

    def cut(source: str, pixels: int, bits: int, mode: str) -> str:
        scale = np.float32(0.3) / np.float32(pixels)
        numbers = [file.constant(n) for n in (scale, 0, 12, scale * 4, bits)]
        how = {"signed": 0, "narrow": 0, "rounding_mode": mode}
        return file.op("Trunc", source, *numbers, domain=file.domain, **how)

    y = cut(file.op("AveragePool", y, kernel_shape=[3, 3], strides=[1, 1]), 9, 6, "FLOOR")
    y = file.block(y, 4, 4, scale=0.3, bits=4)
    y = cut(file.op("GlobalAveragePool", y), 16, 8, "ROUND")
    return file, file.classes(y, 4, 4), {}


@pytest.mark.slow
@pytest.mark.parametrize("make", [finn_dialect, cut_averages])
def test_every_rung_is_exact(make: Callable[[], Made], tmp_path: Path) -> None:
    file, last, notes = make()
    model = file.model(last, (1, 4))
    for name, kind in notes.items():
        note = model.graph.quantization_annotation.add()
        note.tensor_name = name
        entry = note.quant_parameter_tensor_names.add()
        entry.key, entry.value = "finn_datatype", kind
    onnx.save(model, tmp_path / "network.onnx")
    options = Options(
        tmp_path / "network.onnx",
        frames=12,
        rtl_frames=4,
        fps=20_000.0,
        fifo_depths="analytic",
        synthesis=False,
        skip=("netlist layer", "netlist"),
    )
    folder = build(options, tmp_path / "built").folder
    rungs = json.loads((folder / "verify.json").read_text())["rungs"]
    found = {rung["name"]: rung for rung in rungs}
    for name in ("int", "dataflow", "memories", "layer", "rtl"):
        assert found[name]["codes"] > 0 and found[name]["mismatches"] == 0, found[name]
    # The executor computes in float32: it may fall on the other side of an edge, and only that.
    assert found["qonnx"]["codes"] > 0 and found["qonnx"]["wrong"] == 0

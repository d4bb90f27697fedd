"""FINN's dialect: MultiThreshold, annotated integer weights, before streamlining."""

from __future__ import annotations

from typing import Any

import numpy as np
from dialect_writer import Collection, DialectWriter, image
from dialects import Dialect
from onnx import ModelProto


def _threshold(
    file: DialectWriter, source: str, table: np.ndarray, kind: str, **attributes: Any
) -> str:
    edges = file.constant(np.sort(table, axis=1))
    return file.op(
        "MultiThreshold", source, edges, domain=file.domain, out_dtype=kind, **attributes
    )


def _network(
    kind: str = "UINT2",
    levels: int = 3,
    *,
    rows: int = 4,
    weights: str = "INT3",
    same: bool = False,
    real: bool = False,
    domain: str = "qonnx.custom_op.general",
    quantizer: bool = False,
    **attributes: Any,
) -> ModelProto:
    """Bytes, a convolution of annotated integers, MultiThreshold, a fully connected layer."""
    file = image(domain=domain)
    notes = {"x": "UINT8"}
    x = "x"
    if quantizer:
        x = _threshold(file, "x", np.arange(1, 256)[None] / 256, "UINT8", out_scale=1 / 256)
        notes = {}
    w = file.constant(file.rng.integers(-3, 4, (4, 3, 3, 3)))
    notes[w] = weights
    sums = file.op("Conv", x, w, kernel_shape=[3, 3], pads=[1] * 4)
    spread = 600.0 / (256 if quantizer else 1)
    table = file.rng.normal(size=(rows, levels)) * spread
    if not real and not quantizer:
        table = np.round(table)
    if same:
        table[:, 1] = table[:, 0]
    y = _threshold(file, sums, table, kind, **attributes)
    rows_of = file.constant(file.rng.integers(-1, 2, (144, 5)))
    notes[rows_of] = "TERNARY"
    y = file.op("MatMul", file.flat(y), rows_of)
    y = file.op("Mul", y, file.constant(0.0625))
    model = file.model(y, (1, 5))
    for name, value in notes.items():
        note = model.graph.quantization_annotation.add()
        note.tensor_name = name
        entry = note.quant_parameter_tensor_names.add()
        entry.key, entry.value = "finn_datatype", value
    return model


def finn_files() -> list[Dialect]:
    """Each file of this family."""
    group = Collection("finn")
    group.add("MultiThreshold", _network)
    group.add("MultiThreshold, old domain", lambda: _network(domain="finn.custom_op.general"))
    group.add("one row of thresholds", lambda: _network(rows=1))
    group.add("thresholds that are not integers", lambda: _network(real=True))
    group.add("equal thresholds", lambda: _network(same=True))
    group.add("out_scale", lambda: _network(out_scale=0.25))
    group.add("out_scale and out_bias", lambda: _network("INT2", out_scale=1.0, out_bias=-2.0))
    group.add("out_bias of half a step", lambda: _network("INT3", out_scale=2.0, out_bias=-3.0))
    group.add("bipolar", lambda: _network("BIPOLAR", 1, out_scale=2.0, out_bias=-1.0))
    group.add("one threshold", lambda: _network("BINARY", 1))
    group.add("15 thresholds", lambda: _network("UINT4", 15))
    group.add("weights annotated BIPOLAR that are not", lambda: _network(weights="BIPOLAR"))
    group.add("MultiThreshold as input quantizer", lambda: _network(quantizer=True))
    return group.files

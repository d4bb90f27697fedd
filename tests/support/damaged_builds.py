"""What people write, and the files of a build, for the tests with damaged files."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import random
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from damage import Kind, all_of
from damage_values import header_changed, json_changed, onnx_changed, yaml_changed
from dialects import by_hand
from dialects_outputs import output_files
from random_graphs import small_mlp
from random_qonnx import QonnxMaker, Weights
from rich.console import Console

from qdeploy.build.digests import check_files
from qdeploy.build.options import read_options
from qdeploy.build_folder import (
    METRICS_FILE,
    read_boards,
    read_build,
    read_classes,
    read_estimates,
    read_fifos,
    read_metrics,
    read_performance,
    read_resources,
    read_verify,
    read_weights,
)
from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.folding.file import read_folding
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.file import read_graph, write_graph
from qdeploy.lowering.integers.lower import lower
from qdeploy.recipe.loading import load_recipe
from qdeploy.report.classes import sentence
from qdeploy.report.curves import plots_of
from qdeploy.report.design_report import read_report
from qdeploy.report.histograms import histograms_of
from qdeploy.report.html import write_report
from qdeploy.report.layers import print_full
from qdeploy.report.summary import print_summary
from qdeploy.resources import resource
from qdeploy.verify.frames import load_frames


def recipe_file(folder: Path) -> Path:
    path = folder / "recipe.yaml"
    source = resource("models/quickstart/digits_fcdnn_w2a2.yaml")
    path.write_bytes(source.read_bytes())
    return path


def board_file(folder: Path) -> Path:
    path = folder / "board.yaml"
    path.write_bytes(resource("hw/boards/pynq-z2.yaml").read_bytes())
    return path


def folding_file(folder: Path) -> Path:
    path = folder / "folding.yaml"
    path.write_text("fc1_mvau: {PE: 4, SIMD: 8, resType: lut}\nfc2_mvau:\n  PE: 2\n")
    return path


def cost_table(folder: Path) -> Path:
    path = folder / "xc7.json"
    shutil.copyfile(resource("hw/costs/xc7.json"), path)
    return path


def read_costs(path: Path) -> object:
    return load_costs(folder=path.parent)


def read_design(path: Path) -> Design:
    return Design.load(path.parent)


def qonnx_file(folder: Path) -> Path:
    maker = QonnxMaker(3, (2, 5, 5))
    maker.conv(3, weights=Weights(2)).norm(node=True).relu().act(2)
    return maker.flatten().dense(4, Weights(3), gemm=True).save(folder / "net.onnx")


def another_onnx_changed(_: bytes, draw: random.Random) -> bytes:
    """Changes to one of the hand-written files, of every dialect and layer."""
    return onnx_changed(draw.choice(_written()), draw)


@functools.cache
def _written() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        every = []
        for file in (*by_hand(), *output_files()):
            if not file.large:
                file.write(path)
                every.append(path.read_bytes())
        return tuple(every)


def to_hardware(path: Path) -> None:
    """Every step up to the choice of a folding."""
    hardware_layers(lower(path))


def graph_file(folder: Path) -> Path:
    path = folder / "model.graph.safetensors"
    write_graph(small_mlp().graph(), path)
    return path


def frames_file(folder: Path) -> Path:
    path = folder / "frames.npz"
    codes = np.arange(24, dtype=np.uint8).reshape(2, 12)
    labels = np.array([0, 1])
    source, tested = np.array("test set"), np.array(2)
    with path.open("wb") as file:
        np.savez_compressed(
            file, codes=codes, raw=codes, labels=labels, source=source, tested=tested
        )
    return path


def frames_array(folder: Path) -> Path:
    """One array of `frames.npz`, before it is packed: checksums of archives catch the rest."""
    frames_file(folder)
    path = folder / "codes.npy"
    np.save(path, np.arange(24, dtype=np.uint8).reshape(2, 12))
    return path


def packed_again(path: Path, name: str = "frames.npz") -> None:
    """The archive beside an array, with this array in place of its own."""
    archive = path.parent / name
    with zipfile.ZipFile(archive) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    parts[path.name] = path.read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in parts.items():
            new.writestr(name, data)
    archive.write_bytes(made.getvalue())


BOARD = {
    **{"board": "c", "clock_mhz": 100.0, "cycles_per_frame": 4, "fps": 1.0, "lut": 5, "ff": 6},
    **{"bram36": 0.5, "dsp": 0, "dma_bound": False},
}
AROUND = {
    **{"before": "x", "differing": 1, "codes": 7, "corner": [0, 0]},
    **{"expected": [[1, 2]], "actual": [[1, 3]]},
}
PLACE = {"boundary": "y", "frame": 0, "index": [1], "expected": 2, "actual": 3}
DIFFERENCE = {**PLACE, "around": AROUND}
RECORDS: dict[str, Any] = {
    "build": {
        "name": "n",
        "options": {
            **{"source": "s", "target": "pynq", "require": [], "skip": ["netlist"]},
            **{"folding": None, "data": None, "cache": None, "fps": 10.0},
        },
        "accuracy_int": 0.5,
        "files": {"empty": hashlib.sha256().hexdigest()},
        "notes": [],
    },
    "verify": {
        "frames": 3,
        "passed": True,
        "rungs": [
            {
                "name": "rtl",
                "codes": 7,
                "mismatches": 1,
                "passed": False,
                "details": {"first_difference": DIFFERENCE},
            }
        ],
    },
    "weights": {
        "layers": [
            {"layer": "a", "bits": 2, "lo": -1, "counts": [3, 1, 2], "per_step": 2}
            | {"histogram": [1, 2, 1, 0, 1, 1]}
        ]
    },
    "resources": {
        "board": "b",
        "lut": 10,
        "bram36": 0.5,
        "available": {"lut": 100.0},
        "limits": {"lut": 85.0},
        "layers": [{"name": "a", "folding": {"PE": 1}, "lut": 3}],
    },
    "performance": {"clock_mhz": 100.0, "cycles_per_frame": 32, "fps": 3e6, "source": "s"},
    "fifos": {
        "source": "s",
        "frames": 8,
        "fifos": [{"name": "f", "stream": "a.0", "width": 8, "analytic": 2, "depth": 2}],
    },
    "estimates": {
        "part": "p",
        "layers": {"a": {"qdeploy": {"lut": 1.0, "bram36": 0.0, "dsp": 0.0}, "finn": None}},
    },
    "boards": {"board": "b", "boards": [BOARD], "source": "s"},
    "classes": {
        **{"classes": ["a", "b"], "confusion": [[3, 1], [0, 2]], "frames": 6},
        **{"precision": [1.0, 0.7], "recall": [0.75, 1.0], "f1": [0.9, 0.8]},
        **{"accuracy": 0.8, "balanced_accuracy": 0.9, "roc_auc": None},
    },
    "summary": {"name": "n", "phases": [{"name": "p", "kind": "pretrain", "accuracy": 0.5}]},
}


def records(folder: Path) -> Path:
    """All of them in one file, each read by its own reader."""
    path = folder / "records.json"
    path.write_text(json.dumps(RECORDS))
    return path


def told_classes(folder: Path) -> None:
    """What the report says of the classes."""
    found = read_classes(folder)
    if found is not None:
        sentence(found)


def drawn_weights(folder: Path) -> None:
    """What the report draws of the weights."""
    found = read_weights(folder)
    if found is not None:
        histograms_of(found)


def metrics_file(folder: Path) -> Path:
    """What a training measured after each epoch."""
    rows = [
        {"phase": "p", "epoch": at, "lr": 0.1 / at, "loss": 2.0 / at, "accuracy": at / 4}
        for at in (1, 2, 3)
    ]
    path = folder / METRICS_FILE
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_records(path: Path) -> None:
    """Whatever of the file is still JSON goes to the readers, the rest to one of them."""
    folder = path.parent
    readers = {
        "build": read_build,
        "verify": read_verify,
        "resources": read_resources,
        "performance": read_performance,
        "fifos": read_fifos,
        "estimates": read_estimates,
        "boards": read_boards,
        "classes": told_classes,
        "weights": drawn_weights,
    }
    _spread(path, folder)
    (folder / "empty").touch()
    steps = [*readers.values(), read_options, check_files]
    all_of(*(functools.partial(step, folder) for step in steps))


def _spread(path: Path, folder: Path) -> None:
    """Write each part of a file of records as a file of its own; all of it, where it is damaged."""
    text = path.read_bytes()
    try:
        parts = {key: json.dumps(value).encode() for key, value in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError):
        parts = {}
    for name in RECORDS:
        (folder / f"{name}.json").write_bytes(parts.get(name, text))


def design_data() -> dict[str, Any]:
    stream = {"tensor": "x", "shape": [4], "bits": 8, "signed": False, "per_beat": 1}
    folding = {"PE": 1, "SIMD": 2}
    layer = {"name": "a", "layer": "a", "op": "MVAU", "module": "a", "cycles": 4}
    fifo = {"name": "f", "depth": 2, "width": 8, "fill_port": "fill", "stream": "a.0"}
    return {
        "name": "n",
        "top": "n_top",
        "board": "pynq-z2",
        "part": "p",
        "clock_mhz": 100.0,
        "sources": ["n_top.v"],
        "memories": [],
        "input": {"name": "s_axis", **stream},
        "output": {"name": "m_axis", **stream},
        "taps": [],
        "fifos": [fifo],
        "layers": [{**layer, "folding": folding, "macs": 8, "part": "layers"}],
    }


def design_file(folder: Path) -> Path:
    path = folder / "design.json"
    path.write_text(json.dumps(design_data()))
    return path


def build(folder: Path) -> Path:
    """A build folder, as far as reports read it, in one file."""
    path = records(folder)
    made = json.loads(path.read_text())
    made["build"]["options"]["source"] = str(folder / "build")
    made["rtl/design"] = design_data()
    path.write_text(json.dumps(made))
    return path


def show(path: Path) -> None:
    """The report and the summary of the build in a file."""
    folder = path.parent / "build"
    (folder / "rtl").mkdir(parents=True, exist_ok=True)
    (folder / "rtl" / "design.json").write_text(json.dumps(design_data()))
    _spread(path, folder)
    console = Console(file=io.StringIO(), width=100)
    try:
        data = json.loads(path.read_bytes())
        (folder / "rtl" / "design.json").write_text(json.dumps(data["rtl/design"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    found = read_report(folder)
    write_report(folder, found)
    print_full(found, console)
    print_summary(folder, console, folder)


KINDS = (
    Kind("recipe", recipe_file, load_recipe, 150),
    Kind("board", board_file, lambda path: load_board(str(path)), 100),
    Kind("folding", folding_file, read_folding, 100),
    Kind("costs", cost_table, read_costs, 20),
    Kind("records", records, read_records, 120),
    Kind("design", design_file, read_design, 100),
    Kind("report", build, show, 60),
    Kind("curves", metrics_file, lambda path: plots_of(read_metrics(path.parent) or []), 100),
    Kind("frames", frames_file, lambda path: load_frames(path.parent), 100),
    Kind("frames array", frames_array, lambda path: load_frames(path.parent), 60, packed_again),
    Kind("graph", graph_file, read_graph, 60),
    Kind("qonnx", qonnx_file, lower, 100),
    Kind("recipe values", recipe_file, load_recipe, 100, change=yaml_changed),
    Kind("board values", board_file, lambda path: load_board(str(path)), 60, change=yaml_changed),
    Kind("folding values", folding_file, read_folding, 60, change=yaml_changed),
    Kind(
        "cost values",
        cost_table,
        lambda path: load_costs(folder=path.parent),
        20,
        change=json_changed,
    ),
    Kind("record values", records, read_records, 60, change=json_changed),
    Kind("design values", design_file, read_design, 60, change=json_changed),
    Kind("report values", build, show, 60, change=json_changed),
    Kind("graph values", graph_file, read_graph, 60, change=header_changed),
    Kind("qonnx values", qonnx_file, to_hardware, 100, change=onnx_changed),
    Kind("qonnx of every kind", qonnx_file, to_hardware, 150, change=another_onnx_changed),
)

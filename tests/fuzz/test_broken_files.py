"""Damaged files of every kind end in a message: no traceback, no hang, no fault of our own."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from random_graphs import small_mlp
from random_qonnx import QonnxMaker, Weights

from qdeploy.build.digests import check_files
from qdeploy.build.options import read_options
from qdeploy.build_folder import (
    read_boards,
    read_build,
    read_estimates,
    read_fifos,
    read_performance,
    read_resources,
    read_verify,
)
from qdeploy.dataflow.folding.file import read_folding
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.errors import InternalError, QDeployError
from qdeploy.ir.file import read_graph, write_graph
from qdeploy.lowering.integers.lower import lower
from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.verify.frames import load_frames

SECONDS = 10
# Pieces that mean something to one reader or the other.
TOKENS = (
    *(b"null", b"true", b"-1", b"1e999", b"[]", b"{}", b"[" * 60, b"{a: ", b"&a", b"*a", b"<<"),
    *(b"!!timestamp x", b"!!python/object:os.system", b"\x00", b"\xff", b"\\ud800", b"9" * 40),
    *(b"..", b"/", b"\n", b"\t", b":", b"#", b'"', b"{{7*7}}", b"[bold]"),
)


def mutated(data: bytes, draw: random.Random) -> bytes:
    """One to three changes: bits, pieces cut, repeated, moved, or replaced by a token."""
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 2, 8, 64)))
        piece = data[at:end]
        kind = draw.randrange(6)
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at] + data[end:]
        elif kind == 2:
            data = data[:end] + piece + data[end:]
        elif kind == 3:
            data = data[:at]
        elif kind == 4:
            other = draw.randrange(len(data) + 1)
            data = data[:other] + piece + data[other:]
        else:
            data = data[:at] + draw.choice(TOKENS) + data[end:]
    return data


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


def qonnx_file(folder: Path) -> Path:
    maker = QonnxMaker(3, (2, 5, 5))
    maker.conv(3, weights=Weights(2)).norm(node=True).relu().act(2)
    return maker.flatten().dense(4, Weights(3), gemm=True).save(folder / "net.onnx")


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


RECORDS: dict[str, Any] = {
    "build": {
        "name": "n",
        "options": {"source": "s", "target": "pynq", "require": [], "skip": []},
        "accuracy_int": 0.5,
        "files": {"model.qonnx.onnx": "00"},
        "notes": [],
    },
    "verify": {"frames": 3, "passed": True, "rungs": [{"name": "rtl", "codes": 7, "details": {}}]},
    "resources": {
        "board": "b",
        "lut": 10,
        "bram36": 0.5,
        "available": {"lut": 100.0},
        "limits": {"lut": 85.0},
        "layers": [{"name": "l", "folding": {"PE": 1}, "lut": 3}],
    },
    "performance": {"clock_mhz": 100.0, "cycles_per_frame": 32, "fps": 3e6, "source": "s"},
    "fifos": {"source": "s", "frames": 8, "fifos": [{"name": "f", "width": 8, "depth": 2}]},
    "estimates": {"part": "p", "layers": {"l": {"qdeploy": {"lut": 1.0}, "finn": None}}},
    "boards": {"board": "b", "boards": [{"board": "c", "fps": 1.0, "lut": 5}], "source": "s"},
}


def records(folder: Path) -> Path:
    """All of them in one file, each read by its own reader."""
    path = folder / "records.json"
    path.write_text(json.dumps(RECORDS))
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
    }
    text = path.read_bytes()
    try:
        parts = {key: json.dumps(value).encode() for key, value in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError):
        parts = {}
    for name, reader in readers.items():
        (folder / f"{name}.json").write_bytes(parts.get(name, text))
        try:
            reader(folder)
        except InternalError:
            raise
        except QDeployError:
            continue
    for check in (read_options, check_files):
        check(folder)


def design_file(folder: Path) -> Path:
    path = folder / "design.json"
    stream = {"tensor": "x", "shape": [4], "bits": 8, "signed": False, "per_beat": 1}
    layer = {"name": "a", "layer": "a", "op": "MVAU", "module": "a", "cycles": 4}
    data = {
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
        "fifos": [],
        "layers": [layer],
    }
    path.write_text(json.dumps(data))
    return path


KINDS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], int]] = {
    # kind: writes a good file, reads it, how many damaged ones
    "recipe": (recipe_file, load_recipe, 300),
    "board": (board_file, lambda path: load_board(str(path)), 300),
    "folding": (folding_file, read_folding, 300),
    "records": (records, read_records, 300),
    "design": (design_file, lambda path: Design.load(path.parent), 250),
    "frames": (frames_file, lambda path: load_frames(path.parent), 250),
    "graph": (graph_file, read_graph, 150),
    "qonnx": (qonnx_file, lower, 150),
}


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_end_in_a_message(kind: str, tmp_path: Path) -> None:
    write, read, count = KINDS[kind]
    path = write(tmp_path)
    good = path.read_bytes()
    draw = random.Random(kind)
    refused = 0
    for number in range(count):
        path.write_bytes(mutated(good, draw))
        start = time.monotonic()
        try:
            read(path)
        except InternalError as error:
            raise AssertionError(f"{kind} {number} is taken for a fault of our own") from error
        except QDeployError:
            refused += 1
        assert time.monotonic() - start < SECONDS, (kind, number)
    assert refused > count // 10


def test_the_good_files_are_read(tmp_path: Path) -> None:
    for write, read, _ in KINDS.values():
        if write is records:
            continue  # its options are too few for a build
        read(write(tmp_path))
    assert onnx.load(tmp_path / "net.onnx").graph.node

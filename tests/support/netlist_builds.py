"""A small network of two fully connected layers, stitched and synthesized."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from qdeploy.build_folder import NETLIST_PATH
from qdeploy.dataflow.compile import compile_graph
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import Dense, IntegerGraph, IntType, Tensor, Threshold
from qdeploy.ir.rules import check_graph
from qdeploy.synth.synthesize import synthesize

BOARD = load_board("pynq-z2")


def tensor(name: str, size: int, lo: int, hi: int) -> Tensor:
    """A vector with a scale of 1."""
    return Tensor(name, (size,), IntType.holding(lo, hi), lo, hi, Fraction(1))


def two_layers() -> IntegerGraph:
    """4 codes of 4 bits, 3 codes of 2 bits, 2 logits."""
    weights = np.array([[1, -1, 0, 1], [1, 1, 1, -1], [0, 1, -1, 1]])
    levels = np.array([[-5, 0, 9], [3, 8, 20], [-9, 1, 8]])
    nodes = (
        Dense("one", "one", ("x",), "acc", weights),
        Threshold("act", "act", ("acc",), "code", levels, 0),
        Dense("two", "two", ("code",), "logits", np.array([[1, -1, 1], [-1, 1, 1]])),
    )
    tensors = [
        tensor("x", 4, 0, 15),
        tensor("acc", 3, -15, 45),
        tensor("code", 3, 0, 3),
        tensor("logits", 2, -3, 6),
    ]
    graph = IntegerGraph("two", "x", "logits", nodes, {one.name: one for one in tensors})
    check_graph(graph)
    return graph


def synthesized(build: Path) -> IntegerGraph:
    """`two_layers` as a build folder with RTL and netlist."""
    graph = two_layers()
    compiled = compile_graph(graph, BOARD, build / "rtl", fps=1e6)
    synthesize(build / "rtl", compiled.design, build / "synth", BOARD)
    return graph


def turn_a_table(build: Path, module: str) -> None:
    """One look-up table turned over in a netlist, where a weight of a layer meets a code."""
    path = build / NETLIST_PATH
    text = path.read_text(encoding="utf-8")
    table = re.compile(r"  LUT2 #\(\n +\.INIT\(4'h(\w)\)\n[^;]*\\(?:block0\.w |inside0\.a)")
    found = table.search(text, text.index(f"module {module}("))
    assert found is not None
    turned = f"{int(found[1], 16) ^ 15:x}"
    path.write_text(text[: found.start(1)] + turned + text[found.end(1) :], encoding="utf-8")

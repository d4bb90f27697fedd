"""The netlist rung on a small network: whole, block by block, with a fault, without a netlist."""

from __future__ import annotations

import dataclasses
import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from qdeploy.build_folder import NETLIST_PATH
from qdeploy.dataflow.compile import compile_graph
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.ir.integer_graph import Dense, IntegerGraph, IntType, Tensor, Threshold
from qdeploy.ir.reference import run_reference
from qdeploy.ir.rules import check_graph
from qdeploy.synth.synthesize import synthesize
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs import netlist as rung_module
from qdeploy.verify.rungs.netlist import NetlistRung

BOARD = load_board("pynq-z2")
FRAMES = np.random.default_rng(4).integers(0, 16, (8, 4))


def tensor(name: str, size: int, lo: int, hi: int) -> Tensor:
    return Tensor(name, (size,), IntType.holding(lo, hi), lo, hi, Fraction(1))


def two_layers() -> IntegerGraph:
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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> LadderInputs:
    build = tmp_path_factory.mktemp("build")
    graph = two_layers()
    compiled = compile_graph(graph, BOARD, build / "rtl", fps=1e6)
    synthesize(build / "rtl", compiled.design, build / "synth", BOARD)
    return LadderInputs(build, graph, None, FRAMES, tmp_path_factory.mktemp("cache"))


def run_rung(
    inputs: LadderInputs, reference: dict[str, np.ndarray], *, required: bool = False
) -> RungResult:
    return NetlistRung().run(inputs, reference, required=required)


def reference(inputs: LadderInputs) -> dict[str, np.ndarray]:
    return dict(run_reference(inputs.graph, inputs.frames))


def test_the_whole_netlist_equals_the_integer_graph(inputs: LadderInputs) -> None:
    rung = run_rung(inputs, reference(inputs))
    assert rung.skipped is None
    assert (rung.frames, rung.boundaries, rung.mismatches) == (5, 2, 0)
    assert rung.codes == 2 * 5 * (3 + 2)  # with stalls and without
    assert rung.details["mode"] == "whole netlist"
    assert rung.details["cycles_stalled"] > rung.details["cycles_free"]


def test_block_by_block_every_layer_gives_what_it_gave_in_the_design(
    inputs: LadderInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rung_module, "WHOLE_CELLS", 0)
    rung = run_rung(inputs, reference(inputs))
    assert rung.mismatches == 0
    assert rung.details["mode"] == "block by block"
    assert rung.details["layers"] == len(Design.load(inputs.folder / "rtl").layers)
    assert rung.details["models"] == 2  # the top around RTL, and all layers in one group
    assert rung.codes > 2 * 5 * (3 + 2)  # the boundaries twice, and streams that are none


def faulty(inputs: LadderInputs, tmp_path: Path) -> LadderInputs:
    """The build with one look-up table turned over, where a weight meets a code."""
    build = tmp_path / "build"
    shutil.copytree(inputs.folder, build)
    path = build / NETLIST_PATH
    text = path.read_text(encoding="utf-8")
    table = re.compile(r"  LUT2 #\(\n +\.INIT\(4'h(\w)\)\n[^;]*\\(?:block0\.w |inside0\.a)")
    found = table.search(text, text.index("module two_mvau("))
    assert found is not None
    turned = f"{int(found[1], 16) ^ 15:x}"
    path.write_text(text[: found.start(1)] + turned + text[found.end(1) :], encoding="utf-8")
    return dataclasses.replace(inputs, folder=build)


def test_one_wrong_look_up_table_is_found_and_its_layer_named(
    inputs: LadderInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rung_module, "WHOLE_CELLS", 0)
    wrong = faulty(inputs, tmp_path)
    rung = run_rung(wrong, reference(inputs))
    assert rung.mismatches > 0
    assert not rung.passed
    assert "`logits`" in rung.note


def test_a_build_without_synthesis_skips_the_rung_with_the_reason(
    inputs: LadderInputs, tmp_path: Path
) -> None:
    reason = NetlistRung().absent(dataclasses.replace(inputs, folder=tmp_path))
    assert reason == "there is no netlist: the build was made without synthesis"


def test_a_design_that_does_not_record_its_streams_skips_the_rung(
    inputs: LadderInputs, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    shutil.copytree(inputs.folder, build)
    dataclasses.replace(Design.load(build / "rtl"), streams=[]).save(build / "rtl")
    rung = run_rung(dataclasses.replace(inputs, folder=build), reference(inputs))
    assert rung.skipped is not None
    assert "run `qdeploy export` again" in rung.skipped


def test_a_cell_without_a_model_is_named(inputs: LadderInputs, tmp_path: Path) -> None:
    build = tmp_path / "build"
    shutil.copytree(inputs.folder, build)
    path = build / NETLIST_PATH
    text = path.read_text(encoding="utf-8").replace("  CARRY4 _", "  CARRY8 _", 1)
    path.write_text(text, encoding="utf-8")
    rung = run_rung(dataclasses.replace(inputs, folder=build), reference(inputs))
    assert rung.skipped == "there is no simulation model of the cell CARRY8"


def test_a_netlist_that_would_run_for_long_is_left_to_those_who_ask_for_it(
    inputs: LadderInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rung_module, "MOST_CELLS", 10)
    rung = run_rung(inputs, reference(inputs))
    assert rung.skipped is not None
    assert "`--require netlist`" in rung.skipped
    assert run_rung(inputs, reference(inputs), required=True).skipped is None

"""The netlist rung on a small network: whole, block by block, with a fault, without a netlist."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from netlist_builds import turn_a_table

from qdeploy.build_folder import NETLIST_PATH
from qdeploy.design.manifest import Design
from qdeploy.ir.reference import run_reference
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs import netlist as rung_module
from qdeploy.verify.rungs.netlist import NetlistRung


@pytest.fixture
def inputs(netlist_inputs: LadderInputs) -> LadderInputs:
    return netlist_inputs


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
    turn_a_table(build, "two_mvau")
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

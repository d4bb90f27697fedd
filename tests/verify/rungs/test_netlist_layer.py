"""The netlist layer rung: whole, by groups of layers, with a fault, and where it cannot run."""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
from pathlib import Path

import pytest
from netlist_builds import turn_a_table
from netlist_faults import draw_cell, same_cells

from qdeploy.artifacts import write_json
from qdeploy.build_folder import NETLIST_ORIGIN_PATH, NETLIST_PATH
from qdeploy.design.manifest import Design
from qdeploy.verify.inputs import LadderInputs
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs import netlist as netlist_module
from qdeploy.verify.rungs import netlist_layer as rung_module
from qdeploy.verify.rungs.layer import LayerRung
from qdeploy.verify.rungs.netlist_layer import NetlistLayerRung


@pytest.fixture
def inputs(netlist_inputs: LadderInputs) -> LadderInputs:
    return netlist_inputs


def run_rung(inputs: LadderInputs, *, required: bool = False) -> RungResult:
    return NetlistLayerRung().run(inputs, {}, required=required)


def changed(inputs: LadderInputs, folder: Path) -> LadderInputs:
    shutil.copytree(inputs.folder, folder)
    return dataclasses.replace(inputs, folder=folder)


def test_layers_of_the_whole_netlist_give_what_the_graph_says(inputs: LadderInputs) -> None:
    rung = run_rung(inputs)
    assert rung.skipped is None
    assert (rung.mismatches, rung.details["differences"]) == (0, [])
    assert (rung.details["mode"], rung.details["models"]) == ("whole netlist", 1)
    rtl = LayerRung().run(inputs, {}, required=False)
    assert (rung.codes, rung.details["layers"]) == (rtl.codes, rtl.details["layers"])


def test_groups_of_layers_give_the_same(
    inputs: LadderInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_rung(inputs)
    monkeypatch.setattr(netlist_module, "WHOLE_CELLS", 0)
    monkeypatch.setattr(netlist_module, "GROUP_CELLS", 200)
    rung = run_rung(inputs)
    assert (rung.mismatches, rung.codes) == (0, whole.codes)
    assert rung.details["mode"] == "block by block"
    assert rung.details["models"] > 1


@pytest.mark.parametrize("whole_cells", [netlist_module.WHOLE_CELLS, 0], ids=["whole", "groups"])
def test_one_wrong_look_up_table_is_found_at_its_layer(
    whole_cells: int, inputs: LadderInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(netlist_module, "WHOLE_CELLS", whole_cells)
    wrong = changed(inputs, tmp_path / "build")
    turn_a_table(wrong.folder, "two_mvau")
    rung = run_rung(wrong)
    assert not rung.passed
    assert re.match(
        r"layer `two` \(`two_mvau`, out0\), vector \d+, channel \d: -?\d+ instead of -?\d+$",
        rung.note,
    )
    assert all("`two_mvau`" in text for text in rung.details["differences"])


@pytest.mark.slow
def test_broken_cells_are_found_at_their_layer(inputs: LadderInputs, tmp_path: Path) -> None:
    design = Design.load(inputs.folder / "rtl")
    chance, found = random.Random(3), 0
    for number in range(6):
        fault = draw_cell(inputs.folder, design, chance)
        broken = changed(inputs, tmp_path / f"broken{number}")
        (broken.folder / fault.file).write_text(fault.text, encoding="utf-8")
        rung = run_rung(broken)
        if not rung.passed:
            found += 1
            assert f"layer `{fault.layer}`" in rung.note, fault.what
    assert found >= 4


@pytest.mark.slow
def test_a_table_that_only_decides_when_beats_come_is_found(
    inputs: LadderInputs, tmp_path: Path
) -> None:
    """Of the output queue's account of free places, every table; some let beats in too early, and
    what comes out is the same."""
    notes = []
    text = (inputs.folder / NETLIST_PATH).read_text(encoding="utf-8")
    start = text.index("module two_mvau(")
    tables = re.compile(r"  LUT\d #\(\n +\.INIT\((\d+)'h(\w+)\)\n[^;]*places\.full[^;]*;")
    for number, table in enumerate(tables.finditer(text, start, text.index("endmodule", start))):
        broken = changed(inputs, tmp_path / f"broken{number}")
        turned = f"{int(table[2], 16) ^ ((1 << int(table[1])) - 1):x}"
        edited = text[: table.start(2)] + turned + text[table.end(2) :]
        (broken.folder / NETLIST_PATH).write_text(edited, encoding="utf-8")
        notes.append(run_rung(broken).note)
    assert all("layer `two` (`two_mvau`, " in note for note in notes)
    assert any(re.search(r"passes beat \d+ in cycle \d+, its RTL in cycle \d+$", n) for n in notes)


def test_a_table_turned_over_is_no_equal_module(inputs: LadderInputs, tmp_path: Path) -> None:
    wrong = changed(inputs, tmp_path / "build")
    turn_a_table(wrong.folder, "two_mvau")
    good, other = (
        (one.folder / NETLIST_PATH).read_text(encoding="utf-8") for one in (inputs, wrong)
    )
    assert same_cells(good, good, "two_mvau", tmp_path)
    assert not same_cells(good, other, "two_mvau", tmp_path)
    assert same_cells(good, other, "one_mvau", tmp_path)


def test_few_cycles_leave_out_vectors_and_say_so(
    inputs: LadderInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rung_module, "MOST_CELL_CYCLES", 1)
    rung = run_rung(inputs)
    assert rung.passed
    assert rung.details["left_out"] > 0
    assert "left out for time" in rung.note
    assert {one["vectors"] for one in rung.details["layers"]} == {2}


def test_what_keeps_the_netlist_rung_from_running_keeps_this_one(
    inputs: LadderInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = NetlistLayerRung().absent(dataclasses.replace(inputs, folder=tmp_path))
    assert reason == "there is no netlist: the build was made without synthesis"

    other = changed(inputs, tmp_path / "other")
    path = other.folder / "rtl" / Design.load(other.folder / "rtl").memories[0]
    write_json(other.folder / NETLIST_ORIGIN_PATH, {"design": {path.name: "0"}})
    assert (run_rung(other).refused or "").startswith("the netlist was synthesized from another")

    unmodelled = changed(inputs, tmp_path / "unmodelled")
    text = (unmodelled.folder / NETLIST_PATH).read_text(encoding="utf-8")
    text = text.replace("  CARRY4 _", "  CARRY8 _", 1)
    (unmodelled.folder / NETLIST_PATH).write_text(text, encoding="utf-8")
    assert run_rung(unmodelled).skipped == "there is no simulation model of the cell CARRY8"

    monkeypatch.setattr(netlist_module, "MOST_CELLS", 10)
    assert "`--require 'netlist layer'`" in (run_rung(inputs).skipped or "")
    assert run_rung(inputs, required=True).skipped is None

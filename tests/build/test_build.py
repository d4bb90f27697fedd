"""The whole pipeline on a tiny network: a run in, a proven package out, and what can go wrong."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from tiny_runs import train_tiny

from qdeploy.build.build import build
from qdeploy.build.observer import BuildObserver
from qdeploy.build.options import Options
from qdeploy.build.reverify import verify
from qdeploy.build_folder import BUILD_FILE, GRAPH_FILE, HARDWARE_FILE, INT_FILE, QONNX_FILE
from qdeploy.codegen.onnx.session import IntSimulator
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import load_board
from qdeploy.errors import (
    DoesNotFitError,
    FoldingError,
    QDeployError,
    ToolMissingError,
    UserError,
)
from qdeploy.ir.file import write_graph
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.integers.lower import lower
from qdeploy.resources import resource
from qdeploy.targets.target import HARDWARE_RUNGS
from qdeploy.verify.frames import load_frames
from qdeploy.verify.ladder import RUNGS

SMALL: dict[str, Any] = {"frames": 60, "rtl_frames": 20, "fps": 500_000.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_tiny(tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for all builds here: what is equal is synthesized and compiled once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SMALL, "cache", folder)
        yield folder


@pytest.fixture(scope="module")
def built(run: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("builds") / "tiny"
    result = build(Options(run, **SMALL), folder)
    assert result.failure is None
    return folder


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def test_every_rung_ran_and_no_exact_one_differs(built: Path) -> None:
    rungs = {rung["name"]: rung for rung in read(built, "verify")["rungs"]}
    assert tuple(rungs) == HARDWARE_RUNGS
    for rung in rungs.values():
        assert "skipped" not in rung
        assert rung["codes"] > 0
        assert rung["mismatches"] == 0
    assert rungs["int"]["frames"] == rungs["dataflow"]["frames"] == 60
    assert rungs["rtl"]["frames"] == 20
    assert rungs["layer"]["codes"] == rungs["netlist layer"]["codes"]
    assert rungs["layer"]["details"]["left_out"] == 0
    assert rungs["netlist"]["frames"] == 5
    assert rungs["rtl"]["boundaries"] == rungs["netlist"]["boundaries"] == 3
    assert rungs["rtl"]["details"]["cycles_stalled"] > rungs["rtl"]["details"]["cycles_free"]


def test_fifos_are_sized_by_simulation_and_the_rate_stays(built: Path) -> None:
    found = read(built, "fifos")
    cycles = found["cycles_per_frame"]
    assert cycles["sized"] <= cycles["deep"]
    assert read(built, "performance")["cycles_per_frame"] <= cycles["deep"]
    assert found["words"] < found["words_analytic"]
    depths = {fifo.stream: fifo.depth for fifo in Design.load(built / "rtl").fifos}
    assert depths == {one["stream"]: one["depth"] for one in found["fifos"] if one["depth"]}
    assert read(built, "build")["fifo_depths"] == "simulated"


def test_the_design_is_compiled_once_for_all_who_simulate_it(built: Path, cache: Path) -> None:
    """With deep FIFOs for their depths, then as it is: for the confirmation and two rungs."""
    top = Design.load(built / "rtl").top
    assert len(list((cache / "sim").glob(f"{top}-*"))) == 2


def test_depths_by_the_skews_alone_may_be_requested(run: Path, tmp_path: Path) -> None:
    said: dict[str, str] = {}
    watch = BuildObserver(done=lambda name, _, result: said.update({name: result}))
    options = Options(run, fifo_depths="analytic", synthesis=False, skip=RUNGS, **SMALL)
    build(options, tmp_path / "out", watch)
    assert not any(name.startswith("FIFO") for name in said)
    assert {fifo.depth for fifo in Design.load(tmp_path / "out/rtl").fifos} == {32}
    assert read(tmp_path / "out", "build")["fifo_depths"] == "analytic"


def test_performance_is_measured_and_meets_the_folding(built: Path) -> None:
    figures = read(built, "performance")
    assert figures["clock"].startswith("assumed: only place and route")
    assert figures["cycles_per_frame"] <= 200
    assert figures["fps"] >= SMALL["fps"]
    assert figures["latency_cycles"] > figures["cycles_per_frame"]
    assert abs(figures["cycles_per_frame"] - figures["expected_cycles_per_frame"]) <= 2


def test_resources_are_counted_and_compared_with_the_board(built: Path) -> None:
    figures = read(built, "resources")
    assert 0 < figures["lut"] < figures["available"]["lut"] == 53200
    assert figures["fits"] is True


def test_the_build_says_what_made_it(built: Path) -> None:
    record = read(built, "build")
    assert record["versions"]["finn-plus"] == "1.6.1"
    assert (built / "recipe.yaml").is_file()
    assert set(record["files"]) >= {QONNX_FILE, GRAPH_FILE, INT_FILE, HARDWARE_FILE}


def test_the_integer_graph_in_the_folder_is_what_lowering_gives(
    built: Path, tmp_path: Path
) -> None:
    lowered = dataclasses.replace(lower(built / QONNX_FILE), name=read(built, "build")["name"])
    write_graph(lowered, tmp_path / GRAPH_FILE)
    assert (tmp_path / GRAPH_FILE).read_bytes() == (built / GRAPH_FILE).read_bytes()


def test_the_package_holds_the_golden_frames_and_their_logits(built: Path) -> None:
    package = built / "package"
    names = {path.name for path in package.rglob("*") if path.is_file()}
    assert {"bundle.json", "build.tcl", "README.md", "qd_shell.v"} <= names
    bundle = json.loads((package / "bundle.json").read_text(encoding="utf-8"))
    with np.load(package / "golden/golden.npz") as golden:
        inputs, outputs = golden["inputs"], golden["outputs"]
    assert len(inputs) == bundle["golden_frames"] == SMALL["frames"]
    np.testing.assert_array_equal(inputs, load_frames(built).raw)
    codes = inputs >> bundle["input"]["shift"]
    (logits,) = IntSimulator(built / "model.int.onnx").run(codes).values()
    np.testing.assert_array_equal(outputs, logits)


def test_the_integer_file_runs_in_plain_onnxruntime(built: Path) -> None:
    file = built / "model.int.onnx"
    assert {opset.domain for opset in onnx.load(file).opset_import} == {""}
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    codes = load_frames(built).codes
    (logits,) = session.run(None, {session.get_inputs()[0].name: codes.astype(np.uint8)})
    assert np.issubdtype(logits.dtype, np.integer)
    # The reference counts with Python's and numpy's integers, from the QONNX file.
    graph = lower(built / "model.qonnx.onnx", argmax=False)
    np.testing.assert_array_equal(logits, run_reference(graph, codes)[graph.output])


def test_verify_again_gives_the_same_ladder(built: Path) -> None:
    result = verify(built, frames=10, rtl_frames=4, seed=7)
    assert result.failure is None
    assert [rung.mismatches for rung in result.rungs] == [0] * 9


def only(*names: str) -> tuple[str, ...]:
    """Rungs to leave out for these alone to run."""
    return tuple(name for name in RUNGS if name not in names)


def test_other_frames_never_rewrite_the_performance(built: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(built, tmp_path / "copy")
    before = (copy / "performance.json").read_bytes()
    assert verify(copy, rtl_frames=2, skip=only("rtl")).failure is None
    assert (copy / "performance.json").read_bytes() == before


def test_a_netlist_stands_for_the_hardware_it_was_made_of_only(built: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(built, tmp_path / "copy")
    memory = sorted((copy / "rtl").glob("*_w.hex"))[0]
    lines = memory.read_text().split()
    lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"
    memory.write_text("\n".join(lines) + "\n")
    (rung,) = (r for r in verify(copy, skip=only("netlist")).rungs if r.name == "netlist")
    assert not rung.passed
    assert rung.refused == f"the netlist was synthesized from another `rtl/{memory.name}`"


def test_a_netlist_that_is_missing_is_a_failure(built: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(built, tmp_path / "copy")
    (copy / "synth/netlist.v").unlink()
    failure = verify(copy, skip=only("int")).failure
    assert failure is not None and "`synth/netlist.v` of the build" in failure.what
    assert "is missing" in failure.what


def test_a_run_that_is_gone_or_another_is_a_failure_with_a_way_out(
    built: Path, run: Path, tmp_path: Path
) -> None:
    copy, moved = shutil.copytree(built, tmp_path / "copy"), tmp_path / "run"
    rungs = only("int", "torch")
    assert verify(copy, skip=rungs).failure is None
    run.rename(moved)
    try:
        failure = verify(copy, skip=rungs).failure
        assert failure is not None and f"`{run}`, which the build was made of" in failure.what
        assert failure.do is not None and "--skip torch" in failure.do
        assert verify(copy, skip=only("int")).failure is None
    finally:
        moved.rename(run)
    recipe = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(recipe + "# edited\n")
    try:
        failure = verify(copy, skip=only("int")).failure
        assert failure is None
        with pytest.raises(QDeployError, match=r"recipe\.yaml"):
            result = verify(copy, skip=rungs)
            raise result.failure or AssertionError("nothing was noticed")
    finally:
        (run / "recipe.yaml").write_text(recipe)


def test_the_package_made_again_is_the_same(built: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(built, tmp_path / "copy")
    assert verify(copy, skip=only("int"), package=True).failure is None


def test_one_flipped_weight_in_the_hardware_is_found_and_named(built: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(built, broken)
    memory = next((broken / "rtl").glob("hidden2*_w.hex"))
    lines = memory.read_text().split()
    one = [f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}", *lines[1:]]
    memory.write_text("\n".join(one) + "\n")
    result = verify(broken, skip=("rtl", "netlist layer", "netlist"))
    assert result.failure is not None
    assert f"`rtl/{memory.name}` of the build" in result.failure.what
    (memories,) = (rung for rung in result.rungs if rung.name == "memories")
    assert memories.mismatches == 1 and memories.note.startswith("layer `hidden2")
    (layer,) = (rung for rung in result.rungs if rung.name == "layer")
    assert layer.mismatches > 0 and layer.note.startswith("layer `hidden2")


def test_weights_that_frames_show_are_found_in_rtl_at_their_layer(
    built: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(built, broken)
    memory = next((broken / "rtl").glob("hidden2*_w.hex"))
    lines = memory.read_text().split()
    # The lower bit of every weight: no frame is without a difference.
    every = [f"{int(line, 16) ^ int('5' * len(line), 16):0{len(line)}x}" for line in lines]
    memory.write_text("\n".join(every) + "\n")
    result = verify(broken, rtl_frames=20, skip=tuple(name for name in RUNGS if name != "rtl"))
    (rtl,) = (rung for rung in result.rungs if rung.name == "rtl")
    assert rtl.mismatches > 0
    assert "`hidden2.act.code`" in rtl.note


def test_a_folding_file_decides_what_it_names(built: Path, run: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "folding.yaml"
    wanted.write_text("hidden2_fc_dense_mvau: {PE: 4, SIMD: 16}\n", encoding="utf-8")
    quick: dict[str, Any] = {"skip": RUNGS, "synthesis": False, **SMALL}
    options = Options(run, folding=wanted, fifo_depths="analytic", **quick)
    build(options, tmp_path / "out")
    design = Design.load(tmp_path / "out/rtl")
    layer = next(one for one in design.layers if one.name == "hidden2_fc_dense_mvau")
    assert (layer.folding["PE"], layer.folding["SIMD"]) == (4, 16)
    # The folding a build came to is such a file too.
    again = Options(run, folding=built / "folding.yaml", **quick)
    build(again, tmp_path / "again")
    assert Design.load(tmp_path / "again/rtl").layers == Design.load(built / "rtl").layers


def test_an_illegal_folding_is_refused_and_leaves_no_build(run: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "folding.yaml"
    wanted.write_text("hidden2_fc_dense_mvau: {PE: 5}\n", encoding="utf-8")
    with pytest.raises(FoldingError, match="cannot have PE 5") as caught:
        build(Options(run, folding=wanted, **SMALL), tmp_path / "out")
    assert caught.value.do == "the nearest is PE 4"
    assert not (tmp_path / "out").exists()


def test_argmax_in_hardware_puts_out_the_class(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "argmax"
    result = build(Options(run, argmax=True, **SMALL), folder)
    assert result.failure is None
    assert Design.load(folder / "rtl").layers[-1].op == "LabelSelect"


def test_a_qonnx_file_from_elsewhere_goes_through_the_same_pipeline(
    built: Path, tmp_path: Path
) -> None:
    file = tmp_path / "foreign.onnx"
    shutil.copy(built / "model.qonnx.onnx", file)
    result = build(Options(file, **SMALL), tmp_path / "out")
    assert result.failure is None
    assert result.rungs[0].skipped == "there is no trained network beside the QONNX file"
    assert result.rungs[-1].mismatches == 0


def test_without_verilator_the_rest_works_and_says_what_was_skipped(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = build(Options(run, **SMALL), tmp_path / "out")
    assert result.failure is None
    skipped = {rung.name: rung.skipped for rung in result.rungs if rung.skipped}
    assert "verilator" in skipped["rtl"].lower()
    assert skipped["layer"] == skipped["rtl"]
    assert "netlist" in skipped["netlist"]
    assert skipped["netlist layer"] == skipped["netlist"]
    assert not (tmp_path / "out/resources.json").exists()
    assert not (tmp_path / "out/performance.json").exists()
    assert not (tmp_path / "out/fifos.json").exists()
    assert read(tmp_path / "out", "build")["fifo_depths"] == "analytic"
    assert (tmp_path / "out/package/bundle.json").is_file()


def test_a_required_rung_without_its_tool_is_an_error(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="apt"):
        build(Options(run, require=("rtl",), **SMALL), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def tiny_board(folder: Path, **resources: int) -> str:
    """A board file like the PYNQ-Z2's with less in it."""
    data = yaml.safe_load(resource("hw/boards/pynq-z2.yaml").read_text())
    data["resources"] |= resources
    data["name"] = "tiny"
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(data))
    assert load_board(str(path)).resources.lut == data["resources"]["lut"]
    return str(path)


def test_a_board_too_small_names_the_biggest_layers_and_leaves_no_build(
    run: Path, tmp_path: Path
) -> None:
    board = tiny_board(tmp_path, lut=600)
    with pytest.raises(DoesNotFitError, match=r"does not fit the board `tiny`") as caught:
        build(Options(run, board=board, fifo_depths="analytic", **SMALL), tmp_path / "out")
    assert "hidden" in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_as_fast_as_fits_is_folded_anew_when_synthesis_finds_it_too_large(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdeploy.devices.capacity.USABLE", 0.65)
    monkeypatch.setattr("qdeploy.devices.capacity.ESTIMATE_MARGIN", -0.15)  # the folding: 0.8
    steps: list[str] = []
    options = {**SMALL, "fps": None, "rtl_frames": 2, "skip": ("netlist layer", "netlist")}
    board = tiny_board(tmp_path, lut=2000)
    chosen = Options(run, board=board, fifo_depths="analytic", **options)
    build(chosen, tmp_path / "out", BuildObserver(stage=steps.append))
    assert steps.count("synthesis with Yosys") > 1
    assert read(tmp_path / "out", "resources")["lut"] <= 0.65 * 2000


@pytest.mark.slow
def test_a_board_that_only_synthesis_finds_too_small_is_told_what_synthesis_found(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdeploy.devices.capacity.USABLE", 0.1)
    monkeypatch.setattr("qdeploy.devices.capacity.ESTIMATE_MARGIN", -0.7)  # the folding: 0.8
    board = tiny_board(tmp_path, lut=700)
    with pytest.raises(DoesNotFitError, match=r"of 700 LUTs \(10% = 70 are usable\)"):
        chosen = Options(run, board=board, fifo_depths="analytic", **{**SMALL, "fps": None})
        build(chosen, tmp_path / "out")


def test_a_rate_above_the_clock_is_refused_before_anything_long(run: Path, tmp_path: Path) -> None:
    with pytest.raises(FoldingError, match="cannot be reached"):
        build(Options(run, fps=2e8), tmp_path / "out")


def test_a_folder_that_is_no_build_is_not_replaced(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("years of work")
    with pytest.raises(UserError, match="is not a build"):
        build(Options(run, **SMALL), precious)
    assert (precious / "chapter1.tex").read_text() == "years of work"


def test_ctrl_c_in_export_leaves_no_half_build_and_the_next_one_starts_clean(
    run: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "qdeploy.cli.main", "export", str(run), "--out", "out"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("FINN"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert {path.name for path in tmp_path.iterdir()} <= {".cache"}
    assert build(Options(run, **SMALL), tmp_path / "out").failure is None
    assert (tmp_path / "out" / BUILD_FILE).is_file()

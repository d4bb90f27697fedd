"""`make bitstream-open`: a netlist without the cells that openXC7 gets wrong, and the right one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import bare_metal
import fake_board
import numpy as np
import pytest
import toy_core
from blind_yosys import blind_yosys
from loadable_package import LoadablePackage

from qdeploy.devices.boards import load_board
from qdeploy.sim.netlist_text import cell_sources
from qdeploy.targets.pynq.package import make_package


def make(package: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """`make bitstream-open` in a package."""
    words = [f"{name}={value}" for name, value in variables.items()]
    return subprocess.run(
        ["make", "bitstream-open", *words], cwd=package, capture_output=True, text=True, check=False
    )


def cells(path: Path) -> set[str]:
    """Types of the cells of a netlist."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["modules"]
    return {cell["type"] for cell in found["qd_shell"]["cells"].values()}


DELAY = """
  reg [5:0] late;
  always @(posedge clk) late <= {late[4:0], s_axis_tdata[0]};
  (* keep *) wire unused_late = late[5];
endmodule
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The toy core with a delay line; its path has a space and a quote."""
    build = tmp_path / "it's open"
    design = toy_core.write_core(build / "rtl")
    source = build / "rtl/toy_core.v"
    text = source.read_text(encoding="utf-8").rstrip()
    source.write_text(text.removesuffix("endmodule") + DELAY, encoding="utf-8")
    raw = toy_core.frames(8)
    return make_package(build, design, load_board("pynq-z2"), raw, toy_core.expected(raw))


def test_the_netlist_has_no_shift_register_and_no_dsp_and_passes_the_selftest(
    package: Path, tmp_path: Path, load_driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        blind_yosys(tmp_path / "blind", patch)
        done = make(package)
    assert done.returncode == 0, done.stdout + done.stderr
    found = cells(package / "open/accelerator.json")
    assert {"FDRE", "LUT6"} <= found
    assert not [kind for kind in found if kind.startswith(("SRL", "DSP"))]
    # Otherwise Yosys makes both of this design.
    plain = (package / "open/synth.ys").read_text(encoding="utf-8").splitlines()
    lines = [line for line in plain if line.startswith("read_verilog")]
    lines += ["synth_xilinx -family xc7 -flatten -noiopad -noclkbuf -top qd_shell"]
    lines += ["select -assert-any t:SRL*", "select -assert-any t:DSP48*"]
    subprocess.run(["yosys", "-q", "-p", "; ".join(lines)], cwd=package / "rtl", check=True)
    # The golden frames through the netlist, by the package's own driver.
    netlist = [package / "open/accelerator_netlist.v", *cell_sources(found)]
    board = fake_board.FakeBoard(
        fake_board.build_model(package, tmp_path / "model", netlist), package / "rtl"
    )
    (package / "bitstream").mkdir()
    fake_board.bit_file(package / "bitstream/accelerator.bit")
    driver = load_driver(package, board)
    try:
        with driver.Accelerator() as accelerator:
            assert accelerator.selftest()["passed"] is True
            raw = toy_core.frames(5, seed=9)
            np.testing.assert_array_equal(accelerator.infer_codes(raw), toy_core.expected(raw))
    finally:
        board.close()


@pytest.mark.slow
def test_the_netlist_of_a_network_takes_two_networks_weights(
    loadable_package: LoadablePackage, tmp_path: Path
) -> None:
    made = loadable_package
    package = tmp_path / "package"
    shutil.copytree(made.package, package)
    done = make(package)
    assert done.returncode == 0, done.stdout + done.stderr
    found = cells(package / "open/accelerator.json")
    assert not [kind for kind in found if kind.startswith(("SRL", "DSP"))]
    # Weights that are loaded are memories that are written, which shift registers could be.
    assert [kind for kind in found if kind.startswith("RAM")]
    netlist = [package / "open/accelerator_netlist.v", *cell_sources(found)]
    model = fake_board.build_model(package, tmp_path / "model", netlist)
    board = fake_board.FakeBoard(model, package / "rtl")
    library = bare_metal.build_driver(package / "bare_metal", model, tmp_path / "driver.so")
    driver = bare_metal.BareMetal(library, board)
    try:
        assert driver.open() == driver.selftest()[0] == "OK"
        for file in reversed(made.files):
            status, weights = driver.read_weights(file)
            assert status == driver.load(weights) == driver.selftest()[0] == "OK"
    finally:
        board.close()


def test_without_yosys_or_after_its_failure_there_is_no_netlist(package: Path) -> None:
    done = make(package, YOSYS="no-such-yosys")
    assert done.returncode != 0 and "apt-get install yosys" in done.stderr
    (package / "open/accelerator.json").write_text("old")
    (package / "rtl/toy_core.v").write_text("module toy_core(; endmodule\n")
    assert make(package).returncode != 0
    assert not (package / "open/accelerator.json").exists()


def test_a_board_of_another_family_is_told_that_openxc7_does_not_know_it(tmp_path: Path) -> None:
    board = load_board("kv260")
    design = toy_core.write_core(tmp_path / "rtl", board.name, board.part)
    raw = toy_core.frames(2)
    package = make_package(tmp_path, design, board, raw, toy_core.expected(raw))
    assert not (package / "open").exists()
    done = make(package)
    assert done.returncode != 0 and "the 7 series only" in done.stderr
    shutil.rmtree(package)

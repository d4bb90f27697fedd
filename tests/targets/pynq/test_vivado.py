"""The Vivado script, run with stand-ins that refuse what Vivado would refuse."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import toy_core

from qdeploy.devices.boards import list_boards, load_board
from qdeploy.resources import resource
from qdeploy.targets.pynq.package import make_package

STUB = Path(__file__).resolve().parent / "vivado_stub.tcl"


def run(package: Path, work: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the package's build.tcl in tclsh."""
    tclsh = shutil.which("tclsh")
    assert tclsh, "these tests need tclsh: apt-get install tcl"
    return subprocess.run(
        [tclsh, str(STUB), str(package), str(work)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.fixture
def package(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The toy core packaged for a board, the PYNQ-Z2 unless a parameter says otherwise."""
    board = load_board(getattr(request, "param", "pynq-z2"))
    design = toy_core.write_core(tmp_path / "rtl", board.name, board.part)
    raw = toy_core.frames(3)
    return make_package(tmp_path, design, board, raw, toy_core.expected(raw))


@pytest.mark.parametrize("package", list_boards(), indirect=True)
def test_every_board_gets_a_complete_system(package: Path, tmp_path: Path) -> None:
    done = run(package, tmp_path / "work")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "validated" in lines
    for name in ("toy_core.v", "qd_shell.v", "qd_shell_regs.v", "toy_weights.hex"):
        assert f"file rtl/{name}" in lines
    assert any(re.match(r"set .*toy_weights.hex file_type \{Memory Init", line) for line in lines)
    assert (package / "bitstream/accelerator.bit").is_file()
    assert (package / "bitstream/accelerator.hwh").is_file()


@pytest.mark.parametrize(
    ("package", "clock", "memory"),
    [
        ("pynq-z2", "PCW_FPGA0_PERIPHERAL_FREQMHZ 100", "ps_0/S_AXI_HP0"),
        ("kv260", "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ 100", "ps_0/S_AXI_HP0_FPD"),
    ],
    indirect=["package"],
)
def test_part_board_clock_and_widths_come_from_the_design(
    package: Path, tmp_path: Path, clock: str, memory: str
) -> None:
    text = run(package, tmp_path / "work").stdout
    board = load_board("pynq-z2" if "clg400" in text else "kv260")
    assert f"-part {board.part}" in text
    assert f"set project board_part {board.board_part}:1.2" in text  # the newest
    assert f"set ps_0 CONFIG.{clock}" in text
    assert f"bus memory_0/M00_AXI {memory}\n" in text
    # Three bytes per beat travel as four; the memory side is as wide as the PS port.
    assert "set axi_dma_0 CONFIG.c_m_axis_mm2s_tdata_width 32" in text
    assert f"set axi_dma_0 CONFIG.c_m_axi_mm2s_data_width {board.dma_bits}" in text
    assert "set axi_dma_0 CONFIG.c_include_sg 0" in text
    assert "set axi_dma_0 CONFIG.c_sg_length_width 26" in text
    header = (package / "bare_metal/qd_design.h").read_text(encoding="utf-8")
    for segment, name in (("axi_dma_0/S_AXI_LITE/Reg", "DMA"), ("qd_shell_0/s_axil/reg0", "SHELL")):
        base = re.search(rf"#define QD_{name}_BASE (0x[0-9A-F]+)u", header)
        assert base is not None
        assert f"address {segment} {base[1]} 0x1000 ps_0/Data\n" in text


def test_the_driver_and_the_project_agree_on_names_and_limits(package: Path) -> None:
    tcl = (package / "vivado/build.tcl").read_text(encoding="utf-8")
    driver = (package / "driver/board.py").read_text(encoding="utf-8")
    for name in re.findall(r'"((?:axi_dma|qd_shell)_\d)"', driver):
        assert f"{name}/" in tcl
    assert "CONFIG.c_sg_length_width {26}" in tcl
    assert "LENGTH_BITS = 26" in driver


def test_missing_board_files_stop_the_build_and_say_where_they_come_from(
    package: Path, tmp_path: Path
) -> None:
    done = run(package, tmp_path / "work", QD_NO_BOARD="1")
    assert done.returncode == 1
    assert "does not know the board tul.com.tw:pynq-z2:part0" in done.stderr
    assert "install TUL's PYNQ-Z2 board files" in done.stderr


def test_a_missed_clock_stops_the_build_without_a_bitstream(package: Path, tmp_path: Path) -> None:
    done = run(package, tmp_path / "work", QD_WNS="-0.25")
    assert done.returncode == 1
    assert "100 MHz is missed by 0.25 ns" in done.stderr
    assert not (package / "bitstream/accelerator.bit").exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("QD_WHS", r"hold is missed by 0\.25 ns, which no lower clock mends"),
        ("QD_WPWS", r"a pulse of the clock of 100 MHz is too short for a cell by 0\.25 ns"),
    ],
)
def test_hold_and_pulse_width_stop_the_build_as_well(
    name: str, told: str, package: Path, tmp_path: Path
) -> None:
    done = run(package, tmp_path / "work", **{name: "-0.25"})
    assert done.returncode == 1
    assert re.search(told, done.stderr)
    assert not (package / "bitstream/accelerator.bit").exists()
    # A slack of zero is met.
    assert run(package, tmp_path / "work", **{name: "0.000"}).returncode == 0


@pytest.mark.parametrize(
    ("report", "told"),
    [
        ("Timing Summary Report\n", "has no Design Timing Summary"),
        ("| Design Timing Summary\n\n", "has no Design Timing Summary"),
        ("WNS(ns)  WHS(ns)  WPWS(ns)\n-\n1 1 1\n", "has no Design Timing Summary"),
        ("| Design Timing Summary\nWNS(ns)  WHS(ns)  WPWS(ns)\n-\n1 NA 1\n", "no WHS, but `NA`"),
        ("| Design Timing Summary\nWNS(ns)  WHS(ns)\n-  -\n1  1\n", "no WPWS, but ``"),
    ],
    ids=["empty", "no table", "another table", "not constrained", "no column"],
)
def test_a_report_that_does_not_say_that_timing_is_met_stops_the_build(
    report: str, told: str, package: Path, tmp_path: Path
) -> None:
    done = run(package, tmp_path / "work", QD_REPORT=report)
    assert done.returncode == 1
    assert told in done.stderr
    assert not (package / "bitstream/accelerator.bit").exists()


def test_vitis_gets_a_platform_with_the_bitstream(package: Path, tmp_path: Path) -> None:
    done = run(package, tmp_path / "work")
    assert (package / "bitstream/accelerator.xsa").is_file()
    assert "xsa" in done.stdout.splitlines()


@pytest.mark.parametrize("package", ["kv260"], indirect=True)
def test_a_module_gets_its_carrier_card_or_a_warning(package: Path, tmp_path: Path) -> None:
    done = run(package, tmp_path / "work")
    card = "som240_1_connector xilinx.com:kv260_carrier:som240_1_connector:*"
    assert f"set project board_connections {{{card}}}\n" in done.stdout
    done = run(package, tmp_path / "work", QD_NO_CARRIER="1")
    assert done.returncode == 0
    assert "WARNING: no carrier card xilinx.com:kv260_carrier:som240_1_connector" in done.stdout
    assert (package / "bitstream/accelerator.bit").is_file()


@pytest.mark.parametrize("step", ["synth_1", "impl_1"])
def test_a_failed_run_stops_the_build(package: Path, tmp_path: Path, step: str) -> None:
    done = run(package, tmp_path / "work", QD_FAIL_RUN=step)
    assert done.returncode == 1
    assert f"{step} failed: see" in done.stderr


def test_the_script_is_complete_tcl(tmp_path: Path) -> None:
    script = tmp_path / "complete.tcl"
    path = resource("export/pynq/vivado/build.tcl")
    script.write_text(f"set f [open {{{path}}}]\nputs [info complete [read $f]]\n")
    tclsh = shutil.which("tclsh")
    assert tclsh, "these tests need tclsh: apt-get install tcl"
    done = subprocess.run([tclsh, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_the_shells_ports_are_those_the_stand_in_has(package: Path) -> None:
    shell = (package / "rtl/qd_shell.v").read_text(encoding="utf-8")
    ports = set(re.findall(r"^\s*(?:input|output)\s+wire\s+(?:\[[^\]]*\]\s*)?(\w+)", shell, re.M))
    assert {"aclk", "aresetn"} <= ports
    for prefix in ("s_axis", "m_axis", "s_axil"):
        assert any(port.startswith(f"{prefix}_") for port in ports)
    # Vivado finds a bus by its port names: every signal of AXI4-Lite has to be there.
    for channel, signals in {
        "aw": ("addr", "valid", "ready"),
        "w": ("data", "strb", "valid", "ready"),
        "b": ("resp", "valid", "ready"),
        "ar": ("addr", "valid", "ready"),
        "r": ("data", "resp", "valid", "ready"),
    }.items():
        assert {f"s_axil_{channel}{signal}" for signal in signals} <= ports

"""The testbench of an IP package: what passes, what fails, and how it says so."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ip_packages import IpBuild, make, simulate

PASSED = re.compile(r"^PASS \d+ frames, .*$", re.MULTILINE)


def passed(done: subprocess.CompletedProcess[str]) -> str:
    """The line about a run that passed without a warning."""
    assert done.returncode == 0, done.stdout + done.stderr
    assert "arning" not in done.stdout + done.stderr
    found = PASSED.search(done.stdout)
    assert found is not None, done.stdout
    return found[0]


def failed(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines that say what failed."""
    assert done.returncode != 0
    assert not PASSED.search(done.stdout)
    return re.findall(r"^FAIL .*$", done.stdout + done.stderr, re.MULTILINE)


def change_word(path: Path, line: int) -> None:
    """Flip the lowest bit of a word of a memory file."""
    lines = path.read_text(encoding="utf-8").split()
    lines[line] = f"{int(lines[line], 16) ^ 1:0{len(lines[line])}x}"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def test_both_simulators_take_the_same_cycles_and_see_a_changed_weight(package: Path) -> None:
    runs = [{"stall": 0}, {"stall": 40, "seed": 3}, {"stall": 90, "seed": 4}]
    lines = {
        simulator: [passed(simulate(package, simulator, **run)) for run in runs]
        for simulator in ("icarus", "verilator")
    }
    assert lines["icarus"] == lines["verilator"]
    assert len({*lines["icarus"]}) == len(runs)
    # Icarus knows X: one cycle of reset leaves nothing undefined, and ends what was under way.
    for beats in (1, 9, 20):
        passed(simulate(package, "icarus", "+reset=1", f"+interrupt={beats}", stall=30))
    change_word(package / "rtl/fc5_dense_mvau_w.hex", 4)
    found = [failed(simulate(package, simulator))[:3] for simulator in ("icarus", "verilator")]
    assert found[0] == found[1]
    assert found[0][0].startswith("FAIL frame ")


def test_another_latency_than_the_documented_one_fails(ip_build: IpBuild, tmp_path: Path) -> None:
    line = passed(simulate(ip_build.package(tmp_path / "unknown"), "icarus", stall=0))
    found = re.search(r"latency (\d+) cycles, interval (\d+) cycles", line)
    assert found is not None
    latency, interval = int(found[1]), int(found[2])
    assert interval == ip_build.design.cycles_per_frame
    right = ip_build.package(tmp_path / "right", latency, interval)
    passed(simulate(right, "icarus", stall=0))
    readme = (right / "README.md").read_text(encoding="utf-8")
    assert f"| latency | {latency:,} cycles" in readme
    wrong = ip_build.package(tmp_path / "wrong", latency + 1, interval)
    assert failed(simulate(wrong, "icarus", stall=0))[0] == (
        f"FAIL latency {latency} cycles, documented {latency + 1}"
    )


def test_a_changed_golden_result_fails_with_its_frame_and_beat(package: Path) -> None:
    change_word(package / "tb/golden_output.hex", 2 * 7 + 3)
    lines = failed(simulate(package, "icarus"))
    assert re.match(r"FAIL frame 2 beat 3: got [0-9a-f]+, expected [0-9a-f]+$", lines[0])
    assert lines[-1].startswith("FAIL 1 errors in 8 of 8 frames")


def test_a_changed_golden_frame_fails(package: Path) -> None:
    path = package / "tb/golden_input.hex"
    lines = path.read_text(encoding="utf-8").split()
    lines[12:18] = ["0" * len(lines[0])] * 6  # the third of eight frames
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    assert all(
        line.startswith("FAIL frame 2 ") for line in failed(simulate(package, "icarus"))[:-1]
    )


def test_a_missing_memory_file_fails(package: Path) -> None:
    (package / "rtl/fc3_dense_mvau_t.hex").unlink()
    assert failed(simulate(package, "icarus"))


@pytest.mark.parametrize("name", ["golden_input.hex", "golden_output.hex"])
def test_a_missing_golden_file_is_named(package: Path, name: str) -> None:
    (package / "tb" / name).unlink()
    assert failed(simulate(package, "icarus")) == [f"FAIL there is no ../tb/{name}"]


def test_a_design_that_stops_is_reported_and_does_not_hang(package: Path) -> None:
    wrapper = package / "rtl/toy_ip.v"
    text = wrapper.read_text(encoding="utf-8")
    stuck = text.replace(
        "assign m_axis_tvalid = out_valid && aresetn;", "assign m_axis_tvalid = 0;"
    )
    assert stuck != text
    wrapper.write_text(stuck, encoding="utf-8")
    assert re.match(
        r"FAIL stuck for \d+ cycles at frame 0 beat 0, after \d+ input beats",
        failed(simulate(package, "icarus"))[0],
    )


def test_a_beat_that_changes_while_it_waits_fails(package: Path) -> None:
    top = package / "rtl/toy_ip.v"
    text = top.read_text(encoding="utf-8")
    fickle = text.replace(
        "output wire m_axis_tlast\n);", "output wire m_axis_tlast\n);\n  wire [15:0] core_data;"
    ).replace(".m_axis_tdata(m_axis_tdata)", ".m_axis_tdata(core_data)")
    fickle = fickle.replace(
        "endmodule", "  assign m_axis_tdata = core_data ^ {15'd0, !m_axis_tready};\nendmodule"
    )
    top.write_text(fickle, encoding="utf-8")
    assert any("changed while it waited" in line for line in failed(simulate(package, "icarus")))


def test_it_may_be_compiled_in_any_folder(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    names = (package / "toy_ip.f").read_text(encoding="utf-8").split()
    iverilog = shutil.which("iverilog")
    assert iverilog, "this test needs iverilog: apt-get install iverilog"
    subprocess.run(
        [
            *(iverilog, "-g2005", "-s", "toy_ip_tb", "-o", "tb.vvp"),
            *(str(package / name) for name in [*names, "tb/toy_ip_tb.v"]),
        ],
        cwd=elsewhere,
        check=True,
    )
    done = subprocess.run(
        ["vvp", "-n", str(elsewhere / "tb.vvp"), "+golden=../tb/"],
        cwd=package / "rtl",
        capture_output=True,
        text=True,
        check=False,
    )
    passed(done)


def test_a_missing_simulator_is_named_with_the_other_one(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("make", "sh", "bash"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(programs))
    for simulator, other in (("icarus", "verilator"), ("verilator", "icarus")):
        done = make(package, "sim", f"SIM={simulator}")
        assert done.returncode != 0
        assert f"make sim SIM={other}" in done.stderr
        assert "is not installed: sudo apt-get install" in done.stderr

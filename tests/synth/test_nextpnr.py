"""Place and route with the real Yosys and nextpnr: figures, the store, and tools that go wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from blind_yosys import blind_yosys

from qdeploy.devices.ecp5 import PROGRAM
from qdeploy.errors import ToolFailedError, ToolMissingError
from qdeploy.synth import nextpnr
from qdeploy.synth.nextpnr import NextPnr, Timing, find_nextpnr
from qdeploy.synth.timing_harness import TOP, Port, harness, stream_ports

_SLOW = """
module core (
  input wire clk, input wire rst_n,
  input wire [{top}:0] in_tdata, input wire in_tvalid, output wire in_tready,
  output wire [15:0] sum, output wire valid
);
  // Without registers of its own: only those around it make it a path that has a clock.
  assign sum = {sum};
  assign valid = in_tvalid & rst_n;
  assign in_tready = in_tdata[0] & ~in_tvalid;
endmodule
"""
Fake = Callable[[str, str], None]


def write_core(folder: Path, terms: int = 2) -> list[str]:
    """A module that adds `terms` numbers in one cycle, in its harness; names of the files."""
    parts = " + ".join(f"in_tdata[{16 * k} +: 16]" for k in range(terms))
    text = _SLOW.format(top=16 * terms - 1, sum=parts)
    (folder / "core.v").write_text(text, encoding="utf-8")
    ports = [*stream_ports("in", 16 * terms, into=True), Port("sum", 16, False)]
    text = harness("core", [*ports, Port("valid", 1, False)])
    (folder / f"{TOP}.v").write_text(text, encoding="utf-8")
    return ["core.v", f"{TOP}.v"]


def measure(folder: Path, store: Path, terms: int = 2) -> Timing:
    folder.mkdir(exist_ok=True)
    sources = write_core(folder, terms)
    return NextPnr(store).run(folder, sources, TOP, dsp=False, memories=[])


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a shell script in the place of a program."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")

    def put(program: str, body: str) -> None:
        (tools / program).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tools / program).chmod(0o755)

    return put


def test_a_longer_sum_reaches_a_lower_clock_and_no_bit_is_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind_yosys(tmp_path / "blind", monkeypatch)
    two = measure(tmp_path / "two", tmp_path / "store", 2)
    eight = measure(tmp_path / "eight", tmp_path / "store", 8)
    assert 100 < eight.fmax_mhz < two.fmax_mhz < 600
    assert eight.path[0].endswith(".Q")
    assert "clk-to-q" in eight.path[0]
    assert "setup" in eight.path[-1]
    # Data, valid and reset come from registers; sum, valid and ready go into two each.
    for terms, timing in ((2, two), (8, eight)):
        assert timing.used["TRELLIS_FF"] == 16 * terms + 2 + 2 * 18
        assert timing.used["TRELLIS_IO"] == 3


def test_an_unchanged_module_runs_nothing_and_a_damaged_record_is_made_again(
    tmp_path: Path, fake: Fake
) -> None:
    store = tmp_path / "store"
    first = measure(tmp_path / "core", store)
    record = next(iter(store.glob("*.json")))
    record.write_text('{"fmax_mhz": 1', encoding="utf-8")
    assert measure(tmp_path / "core", store) == first
    fake(PROGRAM, "exit 3")
    assert measure(tmp_path / "core", store) == first
    with pytest.raises(ToolFailedError, match="status 3"):
        measure(tmp_path / "core", store, 3)


def test_a_nextpnr_that_fails_shows_its_last_lines_and_leaves_nothing(
    tmp_path: Path, fake: Fake
) -> None:
    fake(PROGRAM, "echo ERROR: Unable to place cell; exit 1")
    with pytest.raises(ToolFailedError, match="Unable to place cell") as caught:
        measure(tmp_path / "core", tmp_path / "store")
    assert "nextpnr.log" in str(caught.value)
    assert not list((tmp_path / "store").glob("*.json"))


@pytest.mark.parametrize("report", [None, "", '{"fmax": {}, "critical_paths": []}', '{"fmax": 7}'])
def test_a_nextpnr_that_ends_well_without_a_clock_is_an_error(
    report: str | None, tmp_path: Path, fake: Fake
) -> None:
    fake(PROGRAM, "exit 0" if report is None else f"echo '{report}' > report.json")
    with pytest.raises(ToolFailedError, match=f"without the clock that `{TOP}` reaches") as caught:
        measure(tmp_path / "core", tmp_path / "store")
    assert "nextpnr.log" in str(caught.value)
    assert not list((tmp_path / "store").glob("*.json"))


def test_a_yosys_that_ends_well_without_a_netlist_is_an_error(tmp_path: Path, fake: Fake) -> None:
    fake("yosys", '[ "$1" = -V ] && echo "Yosys 9.99"\nexit 0')
    with pytest.raises(ToolFailedError, match=f"without a netlist of `{TOP}`"):
        measure(tmp_path / "core", tmp_path / "store")


def test_a_missing_nextpnr_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nextpnr.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ToolMissingError, match=f"pip install {PROGRAM}"):
        find_nextpnr(PROGRAM)


def test_nextpnr_is_found_beside_a_python_whose_folder_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_nextpnr(PROGRAM).parent == Path(sys.executable).parent

"""A whole design through the real Yosys and nextpnr; its longest path names layers."""

from __future__ import annotations

from pathlib import Path

from two_layers import small_design

from qdeploy.build_folder import read_timing
from qdeploy.synth.nextpnr import NextPnr
from qdeploy.synth.path_ends import WIRING
from qdeploy.synth.place_design import layer_at, place_design


def test_the_longest_path_of_a_design_lies_in_its_slow_layer(tmp_path: Path) -> None:
    design = small_design(tmp_path / "rtl")
    before = sorted(path.name for path in (tmp_path / "rtl").iterdir())
    found = place_design(tmp_path / "rtl", design, NextPnr(tmp_path / "store"))
    assert (found.source, found.sink) == ("layer_slow", "layer_slow")
    assert 10 < found.timing.fmax_mhz < 400
    assert found.timing.used["TRELLIS_IO"] == 3
    assert sorted(path.name for path in (tmp_path / "rtl").iterdir()) == before
    found.save(tmp_path)
    record = read_timing(tmp_path)
    assert record is not None
    assert record["fmax_mhz"] == found.timing.fmax_mhz
    assert record["path_to"] == "layer_slow"
    assert "Lattice ECP5" in record["part"]


def test_a_wire_belongs_to_the_layer_that_drives_it(tmp_path: Path) -> None:
    design = small_design(tmp_path / "rtl")
    assert layer_at(design, "0.52 clk-to-q under_test.d1_TRELLIS_FF_Q_3.Q") == "layer_fast"
    assert layer_at(design, "0.52 clk-to-q under_test.slow_i.held.Q") == "layer_slow"
    assert layer_at(design, "0.52 clk-to-q under_test.m_axis_tvalid") == WIRING
    assert layer_at(design, "0.52 clk-to-q feed_TRELLIS_FF_Q.Q") == WIRING

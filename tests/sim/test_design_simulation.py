"""A whole design, here made by hand: its codes, its taps and its cycles."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.design.manifest import Design, Fifo, Layer, Stream
from qdeploy.errors import InternalError, VerificationError
from qdeploy.resources import resource
from qdeploy.sim.design import simulate_design

# Two 3-bit channels per beat: a FIFO, then complemented (the tap), one channel per beat at the
# output.
TOP = """
module tiny_top (
  input wire clk, input wire rst_n,
  input wire [7:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
  output wire [7:0] m_axis_tdata, output wire m_axis_tvalid, output wire m_axis_tlast,
  input wire m_axis_tready
`ifdef QD_TAPS
  , output wire [7:0] tap0_tdata, output wire tap0_tvalid, output wire tap0_tready
  , output wire [15:0] fifo0_fill
`endif
);
  wire [5:0] data; wire [2:0] half; wire valid, ready, half_valid, half_ready;
  wire [15:0] fill;
  qd_fifo #(.WIDTH(6), .DEPTH(5)) fifo (.clk(clk), .rst_n(rst_n), .s_tdata(s_axis_tdata[5:0]),
    .s_tvalid(s_axis_tvalid), .s_tready(s_axis_tready), .m_tdata(data), .m_tvalid(valid),
    .m_tready(ready), .fill(fill));
  qd_dwc #(.IN_WIDTH(6), .OUT_WIDTH(3)) dwc (.clk(clk), .rst_n(rst_n), .s_tdata(~data),
    .s_tvalid(valid), .s_tready(ready), .m_tdata(half), .m_tvalid(half_valid),
    .m_tready(half_ready));
  qd_tlast #(.WIDTH(8), .BEATS(24)) last (.clk(clk), .rst_n(rst_n), .s_tdata({5'd0, half}),
    .s_tvalid(half_valid), .s_tready(half_ready), .m_tdata(m_axis_tdata), .m_tvalid(m_axis_tvalid),
    .m_tready(m_axis_tready), .m_tlast(m_axis_tlast));
`ifdef QD_TAPS
  assign tap0_tdata = {2'd0, ~data};
  assign tap0_tvalid = valid;
  assign tap0_tready = ready;
  assign fifo0_fill = fill;
`endif
endmodule
"""
SHAPE = (3, 4, 2)  # height, width, channels: 24 elements


@pytest.fixture
def design(tmp_path: Path) -> Design:
    blocks = ["qd_cycle.v", "qd_fifo.v", "qd_dwc.v", "qd_tlast.v"]
    for name in blocks:
        shutil.copy(resource(f"hw/rtl/{name}"), tmp_path / name)
    (tmp_path / "tiny_top.v").write_text(TOP, encoding="utf-8")
    return Design(
        name="tiny",
        top="tiny_top",
        board="pynq-z2",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        sources=[*blocks, "tiny_top.v"],
        memories=[],
        input=Stream("s_axis", "image", SHAPE, 3, False, 2),
        output=Stream("m_axis", "codes", SHAPE, 3, True, 1),
        taps=[Stream("tap0", "inverse", SHAPE, 3, False, 2)],
        fifos=[Fifo("fifo", 5, 6, "fifo0_fill")],
        layers=[Layer("dwc", "body.dwc", "StreamingDataWidthConverter", "qd_dwc", 24)],
    )


@pytest.fixture
def cache(pytestconfig: pytest.Config) -> Path:
    return Path(pytestconfig.cache.mkdir("simulators"))


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 8, (count, 2, 3, 4))  # channels first


def test_codes_of_output_and_taps_come_back_in_the_graphs_order(
    design: Design, tmp_path: Path, cache: Path
) -> None:
    simulator = simulate_design(tmp_path, design, cache, taps=True)
    codes = frames(9)
    for stall_in, stall_out in ((0.0, 0.0), (0.4, 0.4)):
        result = simulator.run(codes, stall_in=stall_in, stall_out=stall_out, seed=3)
        assert_array_equal(result.taps["inverse"], 7 - codes)
        assert_array_equal(result.outputs & 7, 7 - codes)
        assert result.outputs.min() == -4 and result.outputs.max() == 3


def test_cycles_a_frame_latency_and_fill_are_measured(
    design: Design, tmp_path: Path, cache: Path
) -> None:
    result = simulate_design(tmp_path, design, cache, taps=True).run(frames(6))
    assert result.cycles_per_frame == 24
    assert result.latency_cycles == 24 + 3  # the FIFO takes two cycles, the converter one
    assert result.fifo_max == {"fifo": 5}
    alone = simulate_design(tmp_path, design, cache, taps=True).run(frames(1))
    assert alone.cycles_per_frame == alone.latency_cycles == 27


def test_without_taps_only_the_output_is_there(design: Design, tmp_path: Path, cache: Path) -> None:
    result = simulate_design(tmp_path, design, cache, taps=False).run(frames(3))
    assert result.taps == {} and result.fifo_max == {}
    assert_array_equal(result.outputs & 7, 7 - frames(3))


def test_last_in_the_wrong_place_is_named(design: Design, tmp_path: Path, cache: Path) -> None:
    top = (tmp_path / "tiny_top.v").read_text(encoding="utf-8")
    (tmp_path / "tiny_top.v").write_text(top.replace("BEATS(24)", "BEATS(20)"), encoding="utf-8")
    simulator = simulate_design(tmp_path, design, cache, taps=False)
    with pytest.raises(VerificationError, match="TLAST is 1 at beat 19 of frame 0, which has 24"):
        simulator.run(frames(2))


def test_frames_of_another_shape_are_refused(design: Design, tmp_path: Path, cache: Path) -> None:
    simulator = simulate_design(tmp_path, design, cache, taps=False)
    with pytest.raises(InternalError, match=r"takes \(frames, \*\(2, 3, 4\)\)"):
        simulator.run(np.zeros((2, 3, 4, 2), int))


def test_a_design_read_from_its_file_runs_alike(
    design: Design, tmp_path: Path, cache: Path
) -> None:
    design.save(tmp_path)
    loaded = Design.load(tmp_path)
    assert dataclasses.asdict(loaded) == dataclasses.asdict(design)
    result = simulate_design(tmp_path, loaded, cache, taps=True).run(frames(2))
    assert_array_equal(result.taps["inverse"], 7 - frames(2))

"""Parts of a model driven apart: what one does wrong is told of it, and ends no other's run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.errors import InternalError
from qdeploy.sim.model import build_model
from qdeploy.sim.parts import PartsResult, run_parts
from qdeploy.sim.simulator import Beats, Simulator
from qdeploy.sim.spec import Port, SimSpec

# Two registers side by side. From the fourth beat on the second does what its memory file says:
# 1 takes valid back, 2 changes data that wait, 3 stands still, 4 repeats itself without end.
PAIR = """
module pair (
  input wire clk, input wire rst_n,
  input wire [7:0] a_tdata, input wire a_tvalid, output wire a_tready,
  output wire [7:0] b_tdata, output wire b_tvalid, input wire b_tready,
  input wire [7:0] c_tdata, input wire c_tvalid, output wire c_tready,
  output wire [7:0] d_tdata, output wire d_tvalid, input wire d_tready
);
  one first (.clk(clk), .rst_n(rst_n), .mode(4'd0),
    .s_tdata(a_tdata), .s_tvalid(a_tvalid), .s_tready(a_tready),
    .m_tdata(b_tdata), .m_tvalid(b_tvalid), .m_tready(b_tready));
  reg [3:0] mode [0:0];
  initial $readmemh("mode.hex", mode);
  one second (.clk(clk), .rst_n(rst_n), .mode(mode[0]),
    .s_tdata(c_tdata), .s_tvalid(c_tvalid), .s_tready(c_tready),
    .m_tdata(d_tdata), .m_tvalid(d_tvalid), .m_tready(d_tready));
endmodule

module one (
  input wire clk, input wire rst_n, input wire [3:0] mode,
  input wire [7:0] s_tdata, input wire s_tvalid, output wire s_tready,
  output wire [7:0] m_tdata, output wire m_tvalid, input wire m_tready
);
  reg [7:0] word;
  reg [2:0] count;
  reg full, waited;
  wire now = count[2];
  assign s_tready = (~full | m_tready) & ~(now & mode >= 4'd3);
  assign m_tvalid = full & ~(now & mode == 4'd1 & waited);
  assign m_tdata = (now & mode == 4'd2 & waited) ? ~word : word;
  always @(posedge clk)
    if (!rst_n) begin
      full <= 1'b0; count <= 3'd0; waited <= 1'b0;
    end else begin
      waited <= m_tvalid & ~m_tready;
      if (s_tvalid & s_tready) begin
        full <= 1'b1; word <= s_tdata;
        if (~now) count <= count + 3'd1;
      end else if (m_tvalid & m_tready) full <= now & mode == 4'd4;
    end
endmodule
"""
BEATS = np.arange(40, dtype=np.uint8)[:, None]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Simulator:
    folder = tmp_path_factory.mktemp("pair")
    (folder / "pair.v").write_text(PAIR, encoding="utf-8")
    spec = SimSpec(
        top="pair",
        sources=[folder / "pair.v"],
        folder=folder,
        inputs=[Port("a", 8), Port("c", 8)],
        outputs=[Port("b", 8), Port("d", 8)],
        optimize="-O0",
    )
    return build_model(spec, folder / "models")


def run(
    simulator: Simulator,
    mode: int,
    *,
    hold: int = 0,
    sent: dict[str, Beats] | None = None,
    stall: float = 0.5,
    max_cycles: int = 5_000,
    streams: dict[str, int] | None = None,
) -> PartsResult:
    (Path(simulator.spec.folder) / "mode.hex").write_text(f"{mode:x}\n", encoding="utf-8")
    return run_parts(
        simulator,
        {"a": BEATS, "c": BEATS} if sent is None else sent,
        {"b": len(BEATS), "d": len(BEATS)},
        stall=stall,
        burst=8,
        hold={"d": hold},
        seed=3,
        idle_limit=200,
        max_cycles=max_cycles,
        streams=streams,
    )


def test_parts_give_what_they_were_sent(simulator: Simulator) -> None:
    found = run(simulator, 0)
    assert found.finished
    assert found.faults == {}
    assert found.given == {"b": 40, "d": 40}
    assert found.taken == {"a": 40, "c": 40}
    for beats in found.outputs.values():
        assert_array_equal(beats, BEATS)


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        (1, "took valid back before the beat was accepted"),
        (2, "changed data before the beat was accepted"),
        (4, "gave more beats than expected"),
    ],
)
def test_a_broken_rule_is_told_of_its_part_alone(
    mode: int, fault: str, simulator: Simulator
) -> None:
    found = run(simulator, mode)
    assert found.faults == {"d": fault}
    assert found.given["b"] == 40
    assert_array_equal(found.outputs["b"], BEATS)


def test_a_part_that_stands_still_does_not_keep_the_others_from_going_on(
    simulator: Simulator,
) -> None:
    found = run(simulator, 3)
    assert not found.finished
    assert found.given == {"b": 40, "d": 4}
    assert found.taken == {"a": 40, "c": 4}
    assert_array_equal(found.outputs["b"], BEATS)
    assert_array_equal(found.outputs["d"], BEATS[:4])


def test_a_part_without_end_is_ended(simulator: Simulator) -> None:
    found = run(simulator, 4, max_cycles=300)
    assert (found.cycles, found.finished) == (300, False)
    assert found.given["d"] > 40
    assert len(found.outputs["d"]) == 40


def test_an_output_held_back_gives_nothing_before_its_time(simulator: Simulator) -> None:
    free, held = (run(simulator, 0, hold=cycles, stall=0.0) for cycles in (0, 150))
    assert free.cycles < 150 < held.cycles
    assert_array_equal(held.outputs["d"], BEATS)


def test_a_port_stalls_by_its_number_wherever_it_stands(simulator: Simulator) -> None:
    def handshakes(**streams: int) -> dict[str, list[int]]:
        found = run(simulator, 0, streams=streams)
        return {name: cycles.tolist() for name, cycles in found.handshakes.items()}

    first = handshakes(a=1, b=2, c=3, d=4)
    moved = handshakes(a=3, b=4, c=1, d=2)
    assert (moved["a"], moved["b"]) == (first["c"], first["d"]) != (first["a"], first["b"])
    assert first == handshakes(a=1, b=2, c=3, d=4)
    assert [len(cycles) for cycles in first.values()] == [40] * 4


def test_a_part_left_out_stands_still_and_is_no_fault(simulator: Simulator) -> None:
    (Path(simulator.spec.folder) / "mode.hex").write_text("0\n", encoding="utf-8")
    found = run_parts(
        simulator,
        {"a": BEATS},
        {"b": len(BEATS)},
        stall=0.0,
        burst=8,
        hold={},
        seed=0,
        idle_limit=200,
        max_cycles=1_000,
    )
    assert found.finished
    assert (found.given["d"], found.taken["c"]) == (0, 0)


def test_ports_and_widths_that_do_not_exist_are_refused(simulator: Simulator) -> None:
    with pytest.raises(InternalError, match=r"no part with the ports \['x'\]"):
        run(simulator, 0, sent={"x": BEATS})
    with pytest.raises(InternalError, match="port `a` takes uint8"):
        run(simulator, 0, sent={"a": np.zeros((3, 2), dtype=np.uint8)})


def test_two_runs_are_the_same(simulator: Simulator) -> None:
    one, two = (dataclasses.asdict(run(simulator, 0)) for _ in range(2))
    assert one["cycles"] == two["cycles"]

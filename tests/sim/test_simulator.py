"""The driver on a module that breaks rules when a memory file tells it to."""

from __future__ import annotations

import dataclasses
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from qdeploy.errors import InternalError, ToolFailedError, ToolMissingError, VerificationError
from qdeploy.sim import compiler as headers
from qdeploy.sim import model as compiler
from qdeploy.sim.errors import DeadlockError, ProtocolError
from qdeploy.sim.model import build_model
from qdeploy.sim.simulator import Simulator
from qdeploy.sim.spec import Port, SimSpec

BITS = 77
# One register between two streams, the input also watched; from the sixth beat on it does what
# the mode says.
UNRULY = """
module unruly #(parameter BITS = 8, parameter MODE_FILE = "") (
  input wire clk, input wire rst_n,
  input wire [BITS-1:0] s_tdata, input wire s_tvalid, output wire s_tready,
  output wire [BITS-1:0] M_TDATA, output wire M_TVALID, output wire M_TLAST, input wire M_TREADY,
  output wire [BITS-1:0] in__tap_tdata, output wire in__tap_tvalid, output wire in__tap_tready,
  output wire [11:0] passed
);
  reg [3:0] mode [0:0];
  initial $readmemh(MODE_FILE, mode);
  reg [BITS-1:0] word;
  reg [11:0] count;
  reg full, waited, again;
  wire now = count >= 12'd6;
  assign s_tready = (~full | (M_TREADY & ~again)) & ~(mode[0] == 4'd3 & now);
  assign M_TVALID = (full & ~(mode[0] == 4'd1 & now & waited)) | (mode[0] == 4'd6 & ~rst_n);
  assign M_TDATA = (mode[0] == 4'd2 & now & waited) ? ~word : word;
  assign M_TLAST = (mode[0] == 4'd5 & now & waited) ? 1'b1 : count[1:0] == 2'd0;
  assign in__tap_tdata = s_tdata;
  assign in__tap_tvalid = s_tvalid;
  assign in__tap_tready = s_tready;
  assign passed = count;
  always @(posedge clk)
    if (!rst_n) begin
      full <= 1'b0; count <= 12'd0; waited <= 1'b0; again <= 1'b0;
    end else begin
      waited <= M_TVALID & ~M_TREADY;
      if (s_tvalid & s_tready) begin
        full <= 1'b1; word <= s_tdata; count <= count + 12'd1;
        again <= (mode[0] == 4'd4) & (count == 12'd5);
      end else if (M_TVALID & M_TREADY) begin
        full <= again; again <= 1'b0;
      end
      if (mode[0] == 4'd7 & now) $finish;
    end
endmodule
"""


@pytest.fixture
def spec(tmp_path: Path) -> SimSpec:
    (tmp_path / "unruly.v").write_text(UNRULY, encoding="utf-8")
    (tmp_path / "mode.hex").write_text("0\n", encoding="utf-8")
    return SimSpec(
        top="unruly",
        sources=[tmp_path / "unruly.v"],
        folder=tmp_path,
        parameters={"BITS": BITS, "MODE_FILE": "mode.hex"},
        inputs=[Port("s", BITS)],
        outputs=[Port("M", BITS, last=True, style="upper")],
        taps=[Port("in__tap", BITS)],
        probes=[("passed", 12)],
        optimize="-O1",
    )


@pytest.fixture
def cache(pytestconfig: pytest.Config) -> Path:
    return Path(pytestconfig.cache.mkdir("simulators"))


@pytest.fixture
def unruly(spec: SimSpec, cache: Path) -> Simulator:
    return build_model(spec, cache)


def beats(count: int, seed: int = 0) -> np.ndarray:
    codes = np.random.default_rng(seed).integers(0, 256, (count, 10), dtype=np.uint8)
    codes[:, -1] &= (1 << BITS % 8) - 1
    return codes


def set_mode(simulator: Simulator, mode: int) -> None:
    (Path(simulator.spec.folder) / "mode.hex").write_text(f"{mode}\n", encoding="utf-8")


def test_beats_taps_probes_and_cycles_are_reported(unruly: Simulator) -> None:
    data = beats(500)
    result = unruly.run([data], [500])
    assert_array_equal(result.outputs[0], data)
    assert_array_equal(result.taps[0], data)
    assert_array_equal(result.lasts[0], np.arange(1, 501) % 4 == 0)
    assert_array_equal(result.input_cycles[0], np.arange(500))
    assert_array_equal(result.output_cycles[0], np.arange(1, 501))
    assert result.cycles == 501
    assert result.probe_max == result.probe_final == {"passed": 500}


@pytest.mark.slow
def test_a_model_compiled_file_by_file_is_the_same(
    spec: SimSpec, cache: Path, unruly: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "ONE_FILE_BYTES", 0)
    monkeypatch.setattr(compiler, "SPLIT_FUNCTIONS", 2)
    pieces = build_model(spec, cache)
    assert pieces.library != unruly.library
    sent = beats(40)
    one, other = (sim.run([sent], [40], stall_in=0.3, seed=2) for sim in (unruly, pieces))
    assert_array_equal(one.outputs[0], other.outputs[0])
    assert one.cycles == other.cycles


def test_without_the_compiled_header_the_model_is_the_same(
    spec: SimSpec, cache: Path, unruly: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "SPLIT_FUNCTIONS", 1999)  # so that it is built
    monkeypatch.setattr(headers, "_header", lambda level: Path("/no/such/header.h"))
    plain = build_model(spec, cache)
    assert plain.library != unruly.library
    sent = beats(40)
    one, other = (sim.run([sent], [40], stall_in=0.3, seed=2) for sim in (unruly, plain))
    assert_array_equal(one.outputs[0], other.outputs[0])
    assert one.cycles == other.cycles


def test_inputs_are_repeated_for_each_frame(unruly: Simulator) -> None:
    data = beats(20)
    result = unruly.run([data], [20], frames=7, stall_in=0.2, stall_out=0.2)
    assert_array_equal(result.outputs[0], np.tile(data, (7, 1)))


def test_stalls_come_from_the_seed_and_at_the_rate_asked_for(unruly: Simulator) -> None:
    data = beats(4000)
    first, again, other = (
        unruly.run([data], [4000], stall_in=0.25, stall_out=0.0, seed=s).input_cycles[0]
        for s in (5, 5, 6)
    )
    assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert 0.22 < 1 - 4000 / (first[-1] + 1) < 0.28


@pytest.mark.parametrize(
    "mode, message",
    [
        (1, r"output `M` took valid back"),
        (2, r"output `M` changed data"),
        (4, r"output `M` gave more beats than expected"),
        (5, r"output `M` changed last"),
        (6, r"output `M` valid is high in reset"),
        (7, r"\$finish"),
    ],
)
def test_a_broken_rule_names_the_port_and_the_cycle(
    unruly: Simulator, mode: int, message: str
) -> None:
    set_mode(unruly, mode)
    with pytest.raises(ProtocolError, match=message) as caught:
        unruly.run([beats(40)], [40], stall_out=0.5, seed=1)
    assert re.search(r"cycle -?\d+", str(caught.value))


def test_a_deadlock_lists_every_port_and_probe(unruly: Simulator) -> None:
    set_mode(unruly, 3)
    with pytest.raises(DeadlockError) as caught:
        unruly.run([beats(40)], [40], idle_limit=100)
    text = str(caught.value)
    for part in ("input s: 6 beats", "output M: 6", "tap in__tap: 6", "passed: 6 (at most 6)"):
        assert part in text
    assert "in cycle 10" in text


def test_too_few_output_beats_are_a_deadlock_too(unruly: Simulator) -> None:
    with pytest.raises(DeadlockError, match="output M: 40 beats"):
        unruly.run([beats(40)], [41], idle_limit=50)


def test_the_cycle_limit_ends_a_run(unruly: Simulator) -> None:
    with pytest.raises(DeadlockError, match="not done after 30 cycles"):
        unruly.run([beats(40)], [40], max_cycles=30)


def test_an_interrupt_is_heard_while_a_model_runs(unruly: Simulator) -> None:
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        unruly.run([beats(1000)], [1000], frames=10**9)
    timer.join()


def test_memory_files_are_read_from_the_folder_at_each_run(
    unruly: Simulator, spec: SimSpec, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    set_mode(unruly, 4)
    assert build_model(spec, cache).library == unruly.library
    with pytest.raises(ProtocolError, match="more beats"):
        unruly.run([beats(10)], [10])
    assert Path.cwd() == elsewhere


def test_a_missing_memory_file_is_an_error_not_zeros(unruly: Simulator) -> None:
    (Path(unruly.spec.folder) / "mode.hex").unlink()
    with pytest.raises(VerificationError, match=r"mode\.hex.*not found"):
        unruly.run([beats(10)], [10])


def test_beats_of_the_wrong_width_are_refused(unruly: Simulator) -> None:
    with pytest.raises(InternalError, match=r"takes uint8 \(beats, 10\)"):
        unruly.run([np.zeros((4, 9), np.uint8)], [4])
    with pytest.raises(InternalError, match="more than 77 bits"):
        unruly.run([np.full((4, 10), 255, np.uint8)], [4])


def test_a_changed_source_is_built_anew_and_a_lint_warning_stops_the_build(
    spec: SimSpec, tmp_path: Path
) -> None:
    text = UNRULY.replace("reg [11:0] count;", "reg [9:0] count;")
    (tmp_path / "unruly.v").write_text(text, encoding="utf-8")
    with pytest.raises(ToolFailedError, match="WIDTH") as caught:
        build_model(spec, tmp_path / "build")
    log = re.search(r"log: (\S+)", str(caught.value))
    assert log and "%Warning-WIDTH" in Path(log[1]).read_text(encoding="utf-8")
    assert not list((tmp_path / "build").glob("unruly-*"))


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"inputs": [Port("s", 76)]},
            "`s_tdata` of module `unruly` is IN of 77 bits, not IN of",
        ),
        ({"outputs": [Port("q", BITS)]}, "has no port `q_tvalid`|has no port `q_tdata`"),
        ({"inputs": [Port("in__tap", BITS)]}, "is OUT of 77 bits, not IN of 77"),
    ],
)
def test_ports_that_are_not_the_modules_are_refused(
    spec: SimSpec, tmp_path: Path, change: dict[str, list[Port]], message: str
) -> None:
    with pytest.raises(InternalError, match=message):
        build_model(dataclasses.replace(spec, **change), tmp_path / "build")


def test_without_verilator_the_error_names_the_package(
    spec: SimSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match="apt-get install verilator"):
        build_model(spec, tmp_path / "build")


@pytest.mark.parametrize("cut", ["sim.so", "seal.json"])
def test_a_stored_library_that_was_cut_off_is_built_again(
    spec: SimSpec, tmp_path: Path, cut: str
) -> None:
    """Loading it would end this very process."""
    store = tmp_path / "store"
    first = build_model(spec, store)
    library = first.library
    del first
    whole = library.read_bytes()
    damaged = library.with_name(cut)
    half = damaged.read_bytes()[: damaged.stat().st_size // 2]
    damaged.unlink()  # the library stays mapped in this process as it was
    damaged.write_bytes(half)
    build_model(spec, store)
    assert library.stat().st_size == len(whole)


def test_a_runtime_that_was_cut_off_is_built_again(
    spec: SimSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    store = tmp_path / "store"
    build_model(dataclasses.replace(spec, optimize="-O2"), store)  # without the header
    driver = next((tmp_path / "user").glob("qdeploy/simulators/runtime-*/driver.o"))
    size = driver.stat().st_size
    driver.write_bytes(driver.read_bytes()[:100])
    build_model(dataclasses.replace(spec, optimize="-O3"), store)
    assert driver.stat().st_size == size

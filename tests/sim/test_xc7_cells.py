"""Our models of 7-series cells: what Yosys makes of a design computes what the design does."""

from __future__ import annotations

from pathlib import Path

import cell_zoo
import numpy as np
import pytest

from qdeploy.devices.families import XC7
from qdeploy.resources import resource
from qdeploy.sim.model import build_model
from qdeploy.sim.netlist import verilator_settings
from qdeploy.sim.netlist_text import CELL_FOLDER, cell_sources, read_netlist, unmodelled
from qdeploy.sim.spec import Port, SimSpec
from qdeploy.synth.yosys import Yosys
from qdeploy.tools import find_tool, run_tool

CELLS = resource(CELL_FOLDER)
MODELS = sorted(path.stem for path in CELLS.glob("*.v"))
BEATS = 3000
# Parameters that the vendor's defaults or a plain use would not have.
_DSP = {
    **{"ALUMODEREG": 0, "CARRYINREG": 0, "CARRYINSELREG": 0},
    **{"INMODEREG": 0, "OPMODEREG": 0},
}
_WIDE = {"RAM_MODE": '"SDP"'}
VARIANTS: list[tuple[str, dict[str, int | str]]] = [
    *((name, {}) for name in MODELS if name not in ("DSP48E1", "RAMB18E1", "RAMB36E1", "qd_bram")),
    ("DSP48E1", _DSP),
    ("DSP48E1", {**_DSP, "MREG": 0, "PREG": 0, "AREG": 2, "ACASCREG": 2}),
    ("RAMB18E1", {"READ_WIDTH_A": 4, "WRITE_WIDTH_A": 4, "WRITE_WIDTH_B": 9}),
    ("RAMB36E1", {"READ_WIDTH_B": 18, "WRITE_WIDTH_A": 18}),
    ("RAMB36E1", {**_WIDE, "READ_WIDTH_A": 72, "WRITE_WIDTH_B": 72}),
    ("qd_bram", {"READ_A": 18, "WRITE_B": 18}),
]


@pytest.mark.parametrize("name, parameters", VARIANTS)
def test_model_has_no_warning(name: str, parameters: dict[str, int | str], tmp_path: Path) -> None:
    given = [f"-G{key}={value}" for key, value in parameters.items()]
    command = [find_tool("verilator"), "--lint-only", "-Wall", "-y", CELLS, "--top-module", name]
    command += [*given, CELLS / f"{name}.v"]
    assert "%Warning" not in run_tool(command, tmp_path, tmp_path / "lint.log", 120)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of one cell are compiled once."""
    return tmp_path_factory.mktemp("models")


class Zoo:
    """The zoo's outputs, from its Verilog and from its netlist, for the same random beats."""

    def __init__(self, folder: Path, models: Path) -> None:
        source, bits, self.units = cell_zoo.write_zoo(folder)
        store = Yosys(XC7, folder / "store")
        made = store.run("zoo", "zoo", folder, [source.name])
        (folder / "netlist.v").write_text(made.text("zoo"), encoding="utf-8")
        self.modules = read_netlist(folder / "netlist.v")
        self.cells = set(made.cells)
        rng = np.random.default_rng(11)
        beats = rng.integers(0, 256, (BEATS, cell_zoo.INPUT_BITS // 8), dtype=np.uint8)

        def run(sources: list[Path], waive: list[str], settings: str = "") -> np.ndarray:
            spec = SimSpec(
                top="zoo",
                sources=sources,
                folder=folder,
                inputs=[Port("s_axis", cell_zoo.INPUT_BITS)],
                outputs=[Port("m_axis", bits)],
                settings=settings,
                waive=waive,
                optimize="-O0",
            )
            model = build_model(spec, models)
            return model.run([beats], [BEATS], stall_in=0.3, stall_out=0.3, seed=1).outputs[0]

        self.expected = run([source], ["WIDTH"])
        self.found = run(
            [folder / "netlist.v", *cell_sources(self.cells)], [], verilator_settings(["zoo"])
        )


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Zoo:
    return Zoo(tmp_path_factory.mktemp("zoo"), models)


def test_netlist_computes_what_the_design_does(zoo: Zoo) -> None:
    wrong = {
        name: int((zoo.expected[:, at] != zoo.found[:, at]).any(axis=1).sum())
        for name, at in zoo.units.items()
    }
    assert {name: beats for name, beats in wrong.items() if beats} == {}


def test_units_put_out_more_than_a_constant(zoo: Zoo) -> None:
    for name, at in zoo.units.items():
        assert len(np.unique(zoo.expected[:, at], axis=0)) > 1, name


def test_every_model_but_the_smallest_is_of_a_cell_that_synthesis_uses_here(zoo: Zoo) -> None:
    assert unmodelled(zoo.modules) == []
    models = {name for name in MODELS if not name.startswith("qd_")}
    assert models - zoo.cells <= {"LUT1", "LUT5"}  # stated by themselves below


_INITS = [0b10, 0x6, 0x96, 0xCAFE, 0x1B873593, 0x9E3779B97F4A7C15]
# Width of each field of a beat, lowest first.
_FIELDS = {"i": 6, "alu": 2, "in": 3, "op": 7, "a": 30, "b": 18, "c": 48, "d": 25, "pcin": 48}
_ALONE = """
module alone (
  input wire clk, input wire rst_n,
  input wire [{top}:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
  output wire [55:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready
);
  assign s_axis_tready = m_axis_tready & rst_n;
  assign m_axis_tvalid = s_axis_tvalid & rst_n;
  wire [5:0] i = s_axis_tdata[5:0];
  assign m_axis_tdata[7:6] = 0;
{luts}
  DSP48E1 #(.ACASCREG(0), .ADREG(0), .ALUMODEREG(0), .AREG(0), .BCASCREG(0), .BREG(0),
    .CARRYINREG(0), .CARRYINSELREG(0), .CREG(0), .DREG(0), .INMODEREG(0), .MREG(0), .OPMODEREG(0),
    .PREG(1), .USE_DPORT("TRUE")) dsp (
    {fields}, .ALUMODE({{2'd0, s_axis_tdata[7:6]}}), .INMODE({{1'b0, s_axis_tdata[10:8], 1'b0}}),
    .OPMODE(s_axis_tdata[17:11] & {{7{{s_axis_tvalid}}}}), .CLK(clk),
    .CEP(s_axis_tvalid & s_axis_tready), .CEM(1'b1),
    .CEA1(1'b1), .CEA2(1'b1), .CEB1(1'b1), .CEB2(1'b1), .CEC(1'b1), .CED(1'b1), .CEAD(1'b1),
    .RSTA(1'b0), .RSTB(1'b0), .RSTC(1'b0), .RSTD(1'b0), .RSTM(1'b0), .RSTP(1'b0),
    .CARRYIN(s_axis_tdata[0]), .CARRYINSEL(3'd0), .ACIN(30'd0), .BCIN(18'd0), .ACOUT(), .BCOUT(),
    .PCOUT(), .P(m_axis_tdata[55:8]));
endmodule
"""


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _dsp(beat: dict[str, int], p: int) -> int:
    """The next P: the DSP slice's equation in integers."""
    a = 0 if beat["in"] & 1 else _signed(beat["a"], 25)
    d = _signed(beat["d"], 25) if beat["in"] & 2 else 0
    m = _signed(d - a if beat["in"] & 4 else d + a, 25) * _signed(beat["b"], 18)
    x = [0, m, p, (beat["a"] << 18) + beat["b"]][beat["op"] & 3]
    y = [0, 0, -1, beat["c"]][beat["op"] >> 2 & 3]
    z = [0, beat["pcin"], p, beat["c"], p, _signed(beat["pcin"], 48) >> 17, _signed(p, 48) >> 17]
    w = x + y + (beat["i"] & 1)
    chosen = z[beat["op"] >> 4]
    return [chosen + w, w - chosen - 1, -(chosen + w) - 1, chosen - w][beat["alu"]] % 2**48


def test_look_up_tables_and_the_dsp_slice_follow_their_equations(
    tmp_path: Path, models: Path
) -> None:
    rng = np.random.default_rng(5)
    low = np.cumsum([0, *_FIELDS.values()])
    luts = "\n".join(
        f"  LUT{n} #(.INIT({2**n}'h{init:x})) l{n} (.O(m_axis_tdata[{n - 1}]), "
        + ", ".join(f".I{k}(i[{k}])" for k in range(n))
        + ");"
        for n, init in enumerate(_INITS, 1)
    )
    fields = ", ".join(
        f".{name.upper()}(s_axis_tdata[{at} +: {_FIELDS[name]}])"
        for name, at in zip(_FIELDS, low, strict=False)
        if name in ("a", "b", "c", "d", "pcin")
    )
    text = _ALONE.format(top=low[-1] - 1, luts=luts, fields=fields)
    (tmp_path / "alone.v").write_text(text, encoding="utf-8")
    beats = []
    for _ in range(2000):
        beat = {name: int(rng.integers(0, 2**bits)) for name, bits in _FIELDS.items()}
        z, x = int(rng.integers(0, 7)), int(rng.integers(0, 4))
        beat["op"] = z << 4 | (0b0101 if x == 1 else int(rng.choice([0, 2, 3])) << 2 | x)
        beats.append(beat)
    words = [
        sum(beat[name] << int(at) for name, at in zip(_FIELDS, low, strict=False)) for beat in beats
    ]
    width = (int(low[-1]) + 7) // 8
    data = np.array([list(word.to_bytes(width, "little")) for word in words], dtype=np.uint8)
    spec = SimSpec(
        top="alone",
        sources=[
            tmp_path / "alone.v",
            *cell_sources({"DSP48E1", *(f"LUT{n}" for n in range(1, 7))}),
        ],
        folder=tmp_path,
        inputs=[Port("s_axis", int(low[-1]))],
        outputs=[Port("m_axis", 56)],
        optimize="-O0",
    )
    model = build_model(spec, models)
    found = model.run([data], [len(beats)], stall_in=0.3, stall_out=0.3).outputs[0]
    p = 0
    for beat, got in zip(beats, found, strict=True):
        table = sum((init >> beat["i"] % 2**n & 1) << n - 1 for n, init in enumerate(_INITS, 1))
        # The output shows P as it was when the beat came; the beat then makes the next one.
        assert int.from_bytes(got.tobytes(), "little") == p << 8 | table
        p = _dsp(beat, p)


_CLASH = """
module clash (
  input wire clk, input wire rst_n,
  input wire [15:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready,
  output wire [15:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready
);
  assign s_axis_tready = m_axis_tready & rst_n;
  assign m_axis_tvalid = s_axis_tvalid & rst_n;
  wire [7:0] row = s_axis_tdata[7:0], other = row ^ {7'd0, s_axis_tdata[14]};
  wire [1:0] en = {2{s_axis_tvalid & s_axis_tready}};
  wire [27:0] at = {3'd0, other, 3'd0, 3'd0, row, 3'd0};
  wire [7:0] we = {4'd0, {4{s_axis_tdata[15]}}};
  wire [63:0] old, wrong;
  qd_bram #(.READ_B(9), .WRITE_A(9), .READ_FIRST(2'b01)) first (.clk({2{clk}}), .en(en), .rst(2'd0),
    .at(at), .we(we), .d({56'd0, ~row}), .dp(8'd0), .q(old), .qp());
  qd_bram #(.READ_B(9), .WRITE_A(9)) last (.clk({2{clk}}), .en(en), .rst(2'd0),
    .at(at), .we(we), .d({56'd0, ~row}), .dp(8'd0), .q(wrong), .qp());
  assign m_axis_tdata = {wrong[39:32], old[39:32]};
endmodule
"""


def test_a_block_ram_shows_its_other_port_wrong_bits_at_a_write_that_is_not_read_first(
    tmp_path: Path, models: Path
) -> None:
    (tmp_path / "clash.v").write_text(_CLASH, encoding="utf-8")
    spec = SimSpec(
        top="clash",
        sources=[tmp_path / "clash.v", CELLS / "qd_bram.v"],
        folder=tmp_path,
        inputs=[Port("s_axis", 16)],
        outputs=[Port("m_axis", 16)],
        optimize="-O0",
    )
    beats = np.random.default_rng(3).integers(0, 256, (1500, 2), dtype=np.uint8)
    found = build_model(spec, models).run([beats], [len(beats)], stall_out=0.3).outputs[0]
    words, latches, clashes = np.zeros(256, dtype=np.uint8), (0, 0), 0
    for (row, control), got in zip(beats, found, strict=True):
        assert tuple(got) == latches
        writes, other = control >> 7, row ^ (control >> 6 & 1)
        clash = bool(writes) and other == row
        clashes += clash
        latches = (words[other], words[other] ^ (0xFF if clash else 0))
        if writes:
            words[row] = ~row
    assert clashes > 100

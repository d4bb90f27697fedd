"""Longest paths of netlists by the real Yosys: nets count, and paths cross layers."""

from __future__ import annotations

from pathlib import Path

import pytest
from blind_yosys import blind_yosys
from hypothesis import given
from hypothesis import strategies as st
from two_layers import small_design

from qdeploy.build_folder import read_static_timing
from qdeploy.devices.families import XC7, CellTimes
from qdeploy.errors import ToolFailedError
from qdeploy.synth.design_paths import WHOLE, design_paths
from qdeploy.synth.program import share_folder
from qdeploy.synth.routed_delay import RoutedDelay, routed_delay
from qdeploy.synth.static_timing import longest_paths, with_nets

_FLOP = "FDRE {name} (.C(clk), .CE(1'b1), .R(1'b0), .D({d}), .Q({q}));\n"


def times() -> CellTimes:
    assert XC7.times is not None
    return XC7.times


def chain(module: str, luts: int) -> str:
    """Two flip-flops with so many LUTs between them, each through its fastest pin."""
    cells = _FLOP.format(name="first", d="in", q="n[0]")
    for index in range(luts):
        pins = ", ".join(f".I{pin}(1'b1)" for pin in range(5))
        cells += f"LUT6 l{index} ({pins}, .I5(n[{index}]), .O(n[{index + 1}]));\n"
    cells += _FLOP.format(name="last", d=f"n[{luts}]", q="out")
    return (
        f"module {module} (input clk, input in, output out);\n"
        f"wire [{luts}:0] n;\n{cells}endmodule\n"
    )


def paths(tmp_path: Path, text: str, top: str, net_ns: float = 0.0) -> dict[str, float]:
    netlist = tmp_path / "netlist.v"
    netlist.write_text(text, encoding="utf-8")
    found = longest_paths([netlist], top, times(), net_ns, tmp_path / "sta.log")
    return {name: one.total_ns for name, one in found.items()}


def test_a_path_has_the_delay_of_its_cells_and_one_net_before_each_lut(tmp_path: Path) -> None:
    # A flip-flop's 0.303 ns and a LUT's fastest pin's 0.127 ns, as Yosys has them; the net to the
    # last flip-flop is none, its LUT is beside it.
    bare = paths(tmp_path, chain("three", 3), "three")["three"]
    assert bare == pytest.approx(0.303 + 3 * 0.127)
    routed = paths(tmp_path, chain("three", 3), "three", 0.8)["three"]
    assert routed == pytest.approx(bare + 3 * 0.8)


def test_more_nets_outweigh_a_slower_pin(tmp_path: Path) -> None:
    slow = chain("two", 1).replace(".I5(n[0])", ".I5(1'b1)").replace(".I0(1'b1)", ".I0(n[0])")
    text = slow.replace("two", "slow") + chain("fast", 4)
    text += (
        "module top (input clk, input in, output [1:0] out);\n"
        "slow slow_i (.clk(clk), .in(in), .out(out[0]));\n"
        "fast fast_i (.clk(clk), .in(in), .out(out[1]));\nendmodule\n"
    )
    bare, routed = paths(tmp_path, text, "top"), paths(tmp_path, text, "top", 1.0)
    assert bare["slow"] > bare["fast"]
    assert bare["top"] == bare["slow"]
    assert routed["fast"] > routed["slow"]
    assert routed["top"] == routed["fast"]


def test_a_yosys_with_a_folder_of_its_own_for_temporary_files_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "module m (input clk, input in, output out);\nwire a;\n"
    text += _FLOP.format(name="one", d="in", q="a") + _FLOP.format(name="two", d="a", q="out")
    text += "endmodule\n"
    seen = paths(tmp_path, text, "m")
    blind_yosys(tmp_path / "blind", monkeypatch)
    assert paths(tmp_path, text, "m") == seen
    assert seen["m"] > 0


def test_the_output_of_a_block_ram_starts_a_path(tmp_path: Path) -> None:
    text = (
        "module memory (input clk, input [9:0] at, output out);\nwire [31:0] d;\n"
        'RAMB36E1 #(.DOA_REG(0), .DOB_REG(0), .RAM_MODE("TDP"), .READ_WIDTH_A(36)) ram (\n'
        " .CLKARDCLK(clk), .ADDRARDADDR({1'b1, at, 5'b11111}), .DOADO(d), .ENARDEN(1'b1),"
        " .WEA(4'b0));\n" + _FLOP.format(name="last", d="d[3]", q="out") + "endmodule\n"
    )
    assert paths(tmp_path, text, "memory")["memory"] == pytest.approx(2.454)


@pytest.mark.parametrize(("registers", "ns"), [("P", 0.329), ("M", 1.671), ("A", 2.952)])
def test_a_product_starts_a_path_at_its_last_register(
    registers: str, ns: float, tmp_path: Path
) -> None:
    used = ", ".join(f".{one}REG({int(one == registers)})" for one in "ABCMP")
    text = (
        "module product (input clk, input [29:0] a, output out);\nwire [47:0] p;\n"
        f'DSP48E1 #({used}, .USE_MULT("MULTIPLY"), .USE_DPORT("FALSE")) dsp (\n'
        " .CLK(clk), .A(a), .B(a[17:0]), .CEP(1'b1), .CEM(1'b1), .CEA2(1'b1), .P(p));\n"
        + _FLOP.format(name="last", d="p[3]", q="out")
        + "endmodule\n"
    )
    assert paths(tmp_path, text, "product")["product"] == pytest.approx(ns)


@given(net=st.integers(0, 5000))
def test_only_routed_pins_get_a_net(net: int) -> None:
    text = "module LUT6(output O, input I0);\nspecify\n  (I0 => O) = 642;\nendspecify\nendmodule\n"
    carry = "module CARRY4(output [3:0] O);\nspecify\n  (CI     => O[0]) = 222;\nendspecify\n"
    setup = "module FDRE ();\n  $setup(CE, posedge C &&& !IS_C_INVERTED, 109);\n"
    setup += "  $setup(D , posedge C &&& CE , /*-46*/ 0); // none\n"
    setup += "  if (R) (posedge C => (Q : 1'b0)) = 303;\n"
    made = with_nets(text + carry + setup, net, times().dedicated)
    assert f"(I0 => O) = {642 + net};" in made
    assert "(CI     => O[0]) = 222;" in made
    assert f"!IS_C_INVERTED, {109 + net});" in made
    assert "/*-46*/ 0);" in made
    assert "= 303;" in made


def test_yosys_own_library_gets_nets_at_every_input_of_a_lut() -> None:
    before = times().verilog(share_folder())
    after = with_nets(before, 1000, times().dedicated)
    for line in ("(I0 => O) = 642;", "(I5 => O) = 127;"):
        assert line in before
        assert line not in after
    assert len(after.splitlines()) == len(before.splitlines())


def test_a_design_names_the_layers_at_both_ends_of_a_path_that_crosses(tmp_path: Path) -> None:
    design = small_design(tmp_path / "rtl")
    lut = (
        "LUT6 {name} (.I0({i}), .I1(1'b1), .I2(1'b1), .I3(1'b1), .I4(1'b1), .I5(1'b1), .O({o}));\n"
    )
    fast = "module fast (input clk, input in, output out);\nwire q;\n"
    fast += _FLOP.format(name="held", d="in", q="q") + lut.format(name="l", i="q", o="out")
    slow = "module slow (input clk, input in, output out);\nwire a;\n"
    slow += lut.format(name="l", i="in", o="a") + _FLOP.format(name="held", d="a", q="out")
    top = (
        "module toy (input clk, input in, output out);\nwire d1;\n"
        "fast fast_i (.clk(clk), .in(in), .out(d1));\n"
        "slow slow_i (.clk(clk), .in(d1), .out(out));\n"
    )
    netlist = tmp_path / "netlist.v"
    netlist.write_text("endmodule\n".join((fast, slow, top, "")), encoding="utf-8")
    delay = RoutedDelay(0.5, 0.25, 0.1, 1, "test")
    found = design_paths(netlist, design, times(), delay, tmp_path / "sta.log")
    assert found is not None
    whole = found.whole
    assert (whole.name, whole.source, whole.sink) == (WHOLE, "layer_fast", "layer_slow")
    assert whole.path.hops == 2
    period = 0.303 + 2 * (0.642 + 0.5) + 0.25
    assert whole.fmax_mhz == pytest.approx(1e3 / period)
    assert {one.name for one in found.paths[1:]} == {"layer_fast", "layer_slow"}
    found.save(tmp_path)
    record = read_static_timing(tmp_path)
    assert record is not None
    assert record["paths"][0]["path_to"] == "layer_slow"
    assert "0.5 ns per routed net" in record["source"]


def test_a_netlist_that_does_not_read_is_said_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError) as caught:
        paths(tmp_path, "module half (", "half")
    assert "sta.log" in str(caught.value)


def test_the_fit_that_ships_is_from_blocks() -> None:
    fit = routed_delay()
    assert fit.blocks > 20
    assert 0.1 < fit.net_ns < 3
    assert 0 < fit.spread < 0.3

"""The corrected synthesis script: as many cells as Yosys' own, with the enable and all 72 bits."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from qdeploy.devices.families import find_family
from qdeploy.tools import find_tool, run_tool

_DESIGN = """
module fixed (
  input wire clk, input wire en, input wire d, input wire [7:0] at, input wire [7:0] from,
  input wire [71:0] x, output wire q, output reg [71:0] y, output reg [7:0] sum
);
  reg [9:0] chain;
  always @(posedge clk) if (en) chain <= {chain[8:0], d};
  assign q = chain[9];
  (* ram_style = "block" *) reg [71:0] m [0:255];
  always @(posedge clk) if (en) m[at] <= x;
  always @(posedge clk) y <= m[from];
  always @(posedge clk) sum <= at * from + x[7:0];
endmodule
"""


def netlist(folder: Path, lines: list[str]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "fixed.v").write_text(_DESIGN, encoding="utf-8")
    script = ["read_verilog -defer fixed.v", *lines, "write_verilog -noattr -noexpr netlist.v"]
    (folder / "run.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
    run_tool([find_tool("yosys"), "-Q", "run.ys"], folder, folder / "yosys.log", 300)
    return (folder / "netlist.v").read_text(encoding="utf-8")


def cells(text: str) -> Counter[str]:
    return Counter(re.findall(r"^  ([A-Z]\w+) (?:#\(|\S+ +\()$", text, re.MULTILINE))


@pytest.mark.parametrize("family", ["xc7", "xcup"])
def test_the_fixes_keep_the_number_of_cells_the_enable_and_every_bit(
    family: str, tmp_path: Path
) -> None:
    share = find_tool("yosys").resolve().parent.parent / "share/yosys"
    script = find_family(family).synthesized().script
    fixed = netlist(tmp_path, script.commands("fixed", share, tmp_path))
    options = "-flatten -noiopad -noclkbuf -top fixed"
    stock = netlist(tmp_path / "stock", [f"synth_xilinx -family {family} {options}"])
    assert cells(fixed) == cells(stock)
    (enable,) = re.findall(r"SRL16E #\([^;]*\.CE\(([^)]*)\)", fixed)
    assert enable == "en"
    if family == "xc7":
        (parity,) = re.findall(r"RAMB36E1 #\([^;]*\.DIPBDIP\(\{([^}]*)\}\)", fixed)
        assert parity.split() == ["x[71],", "x[62],", "x[53],", "x[44]"]

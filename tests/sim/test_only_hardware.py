"""Verilog that would run a program when it is simulated is refused before it is compiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdeploy.errors import UserError
from qdeploy.resources import resource
from qdeploy.sim.model import build_model
from qdeploy.sim.only_hardware import HARDWARE, foreign
from qdeploy.sim.spec import Port, SimSpec

PASS = """
module pass (input clk, input rst_n, input [7:0] in0_tdata, input in0_tvalid, output in0_tready,
             output [7:0] out0_tdata, output out0_tvalid, input out0_tready);
    assign {out0_tdata, out0_tvalid, in0_tready} = {in0_tdata, in0_tvalid, out0_tready};
    PLACE
endmodule
"""
PROGRAMS = (
    'initial $system("touch TRACE");',
    'initial $c("system(\\"touch TRACE\\");");',
    'import "DPI-C" function int system(input string s);\n initial void\'(system("touch TRACE"));',
    'integer f; initial begin f = $fopen("TRACE"); $fclose(f); end',
    'localparam S = "\\\\";initial $system("touch TRACE");',
    '`define RUN(name) $sys``name\n initial `RUN(tem)("touch TRACE");',
    '`include "other.vh"',
)


def spec_of(folder: Path, text: str) -> SimSpec:
    path = folder / "pass.v"
    path.write_text(PASS.replace("PLACE", text))
    return SimSpec(
        top="pass",
        sources=[path],
        folder=folder,
        inputs=[Port("in0", 8)],
        outputs=[Port("out0", 8)],
        waive=["DECLFILENAME", "UNUSEDSIGNAL", "UNUSEDPARAM", "WIDTH"],
    )


def test_plain_hardware_is_simulated(tmp_path: Path) -> None:
    (tmp_path / "design").mkdir()
    spec = spec_of(tmp_path / "design", "// no $system here")
    beats = np.array([[1], [2]], dtype=np.uint8)
    result = build_model(spec, tmp_path / "cache").run([beats], [2])
    assert np.array_equal(result.outputs[0], beats)


@pytest.mark.parametrize("text", PROGRAMS)
def test_a_program_is_refused_and_does_not_run(text: str, tmp_path: Path) -> None:
    (tmp_path / "design").mkdir()
    trace = tmp_path / "trace"
    spec = spec_of(tmp_path / "design", text.replace("TRACE", str(trace)))
    (tmp_path / "design" / "other.vh").write_text("")
    with pytest.raises(UserError, match="is no hardware"):
        build_model(spec, tmp_path / "cache")
    assert not trace.exists()


def test_a_file_that_verilator_would_find_by_itself_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "design").mkdir()
    (tmp_path / "design" / "inner.sv").write_text('module inner; initial $system("x"); endmodule')
    with pytest.raises(UserError, match=r"inner\.sv"):
        build_model(spec_of(tmp_path / "design", "inner one();"), tmp_path / "cache")


@pytest.mark.parametrize("name", ["evil.cpp", "evil.vlt", "evil"])
def test_sources_are_verilog(name: str, tmp_path: Path) -> None:
    (tmp_path / "design").mkdir()
    path = tmp_path / "design" / name
    spec = spec_of(tmp_path / "design", "")
    path.write_text("int evil = 1;")
    with pytest.raises(UserError, match="is no Verilog"):
        build_model(SimSpec(**{**vars(spec), "sources": [path]}), tmp_path / "cache")


def test_words_in_names_comments_and_texts_do_not_matter() -> None:
    assert foreign('\\$system ; a$system; // $system\n/* import */ "$system" \\import ') is None
    assert foreign("/*verilator public*/ reg x;") is not None


def test_all_of_the_library_is_hardware() -> None:
    paths = [path for path in resource("hw").rglob("*") if path.suffix in HARDWARE]
    assert len(paths) > 50
    assert {path.name: foreign(path.read_text()) for path in paths} == dict.fromkeys(
        path.name for path in paths
    )

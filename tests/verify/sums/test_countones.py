"""$countones as Yosys knows it and as the function that stands for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from library_changes import same

from qdeploy.verify.sums.circuit import Circuit
from qdeploy.verify.sums.countones import with_function
from qdeploy.verify.sums.results import Construct, NotProvedError
from qdeploy.verify.sums.rewriting import Rewriter
from qdeploy.verify.sums.yosys_view import read_with_yosys

MODULE = """module ones(input clk, input [4:0] x, input [4:0] y, output reg [7:0] n);
  always @(posedge clk) n <= ($countones(~(x ^ y)) << 1) - $countones ({x, ~y}) + $countones(x)*3;
endmodule
"""


def test_the_function_counts_as_yosys_does(tmp_path: Path) -> None:
    function = with_function(MODULE, 10)
    assert "$countones" not in function
    args = (Construct("ones"), {"ones": MODULE}, {"ones": function}, "simulation", tmp_path)
    assert same(*args)


def test_an_argument_wider_than_the_function_is_undefined(tmp_path: Path) -> None:
    words = {}
    for bits in (9, 10):
        texts = {"ones": with_function(MODULE, bits)}
        module = read_with_yosys(Construct("ones"), texts, (), "simulation", tmp_path)
        words[bits] = Rewriter(Circuit(module)), list(module.outputs["n"])
    rewriter, word = words[10]
    assert rewriter.word(word)
    rewriter, word = words[9]
    with pytest.raises(NotProvedError, match="undefined"):
        rewriter.word(word)


def test_a_call_that_does_not_end_is_refused() -> None:
    with pytest.raises(NotProvedError, match="does not end"):
        with_function("module m; wire x = $countones((1); endmodule", 4)


def test_a_text_without_a_call_stays_as_it_is() -> None:
    assert with_function("module m; endmodule", 4) == "module m; endmodule"

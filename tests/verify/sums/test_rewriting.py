"""Small modules whose result is a polynomial, and such that the rules do not cover."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdeploy.verify.sums.circuit import Circuit
from qdeploy.verify.sums.polynomial import Polynomial
from qdeploy.verify.sums.results import Construct, NotProvedError
from qdeploy.verify.sums.rewriting import Rewriter
from qdeploy.verify.sums.yosys_view import read_with_yosys

PORTS = "input clk, input d, input signed [2:0] x, input [2:0] y, output reg [4:0] z"


def word_of(body: str, work: Path) -> Polynomial:
    text = f"module m({PORTS});\n{body}\nendmodule\n"
    module = read_with_yosys(Construct("m"), {"m": text}, (), "synthesis", work)
    return Rewriter(Circuit(module)).word(list(module.outputs["z"]))


def number(port: str, cycles: int, *, signed: bool = False) -> Polynomial:
    factors = (1, 2, -4 if signed else 4)
    return {((port, bit, cycles),): factor % 32 for bit, factor in enumerate(factors)}


def test_a_sum_of_two_numbers(tmp_path: Path) -> None:
    found = word_of("always @(posedge clk) z <= {2'd0, y} + {{2{x[2]}}, x};", tmp_path)
    assert found == number("y", 1) | number("x", 1, signed=True)


def test_a_product_of_signed_numbers(tmp_path: Path) -> None:
    found = word_of("always @* z = x * $signed({1'b0, y});", tmp_path)
    assert found == {
        (("x", i, 0), ("y", j, 0)): ((1, 2, -4)[i] << j) % 32 for i in range(3) for j in range(3)
    }


def test_registers_are_cycles(tmp_path: Path) -> None:
    body = "reg [2:0] t; always @(posedge clk) begin t <= y; z <= t - y; end"
    found = word_of(body, tmp_path)
    assert found == number("y", 2) | {key: -value % 32 for key, value in number("y", 1).items()}


def test_a_sum_that_may_wrap_before_it_is_extended_is_refused(tmp_path: Path) -> None:
    short = "wire [2:0] s = y + {2'd0, d}; always @* z = {2'd0, s};"
    with pytest.raises(NotProvedError, match="may overflow"):
        word_of(short, tmp_path)
    wide = "wire [3:0] s = y + {3'd0, d}; always @* z = {1'd0, s};"
    assert word_of(wide, tmp_path) == number("y", 0) | {(("d", 0, 0),): 1}


def test_a_sum_whose_upper_bits_always_vanish_does_not_wrap(tmp_path: Path) -> None:
    """2·y modulo 8 is 2·y[0] + 4·y[1], which is below 8."""
    found = word_of("wire [2:0] s = y + y; always @* z = {2'd0, s};", tmp_path)
    assert found == {(("y", 0, 0),): 2, (("y", 1, 0),): 4}


def test_a_sum_in_twos_complement_extended_by_its_sign(tmp_path: Path) -> None:
    body = "wire signed [3:0] s = $signed(x) + $signed({1'b0, d}); always @* z = {s[3], s};"
    assert word_of(body, tmp_path) == number("x", 0, signed=True) | {(("d", 0, 0),): 1}
    with pytest.raises(NotProvedError, match="may overflow"):
        word_of(body.replace("s[3], s", "1'b0, s"), tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("always @(negedge clk) z <= y;", "falling edge"),
        ("always @(posedge d) z <= y;", "clock other"),
        ("always @(posedge clk) z <= z + y;", "loop"),
        ("always @(posedge clk) if (d) z <= y;", "goes into logic|loop"),
        ("wire [4:0] t; always @(posedge clk) z <= t;", "no driver"),
        ("wire [2:0] t; assign t = x; assign t = y; always @* z = t;", "two drivers"),
        ("always @* z = y < 3;", "goes into logic"),
        ("always @* z = 5'bx;", "undefined"),
        ("wire [2:0] s = y + 3; always @* z = {s[0], s[2:1]};", "not used as one number"),
        ("always @* z = y << d;", "not constant"),
    ],
)
def test_what_no_rule_covers_is_refused(body: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(NotProvedError, match=reason):
        word_of(body, tmp_path)

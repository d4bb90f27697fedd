"""Circuits of constant sums: proved equal to their weights, and not where one of them is wrong."""

from __future__ import annotations

import random
import re
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from qdeploy.dataflow.rtl.constant_circuit import circuit, sums_module
from qdeploy.dataflow.rtl.constant_sums import plan_sums
from qdeploy.resources import resource
from qdeploy.verify.memories.circuit import CODES, read_circuit
from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.sums.circuit import Circuit
from qdeploy.verify.sums.dots import COUNTERS
from qdeploy.verify.sums.results import NotProvedError
from qdeploy.verify.sums.rewriting import Rewriter
from qdeploy.verify.sums.rtlil import ONE

# Shape, largest weight, bits of a code, signed, width of the sums.
CASES = [
    ((3, 12), 1, 2, False, 8),
    ((5, 40), 1, 2, True, 7),
    ((4, 9), 7, 4, False, 12),
    ((2, 6), 100, 8, True, 20),
    ((8, 30), 3, 1, False, 9),
    ((1, 1), 1, 1, False, 3),
    ((6, 70), 2, 3, True, 6),
]


# One cycle later the count is the number of ones, for all 64 inputs and whatever came before.
COUNT_TOP = """
module top (input clk, input [5:0] x);
  wire [2:0] count;
  qd_count_six six (.clk(clk), .x(x), .count(count));
  reg [5:0] before; reg begun = 0;
  always @(posedge clk) begin before <= x; begun <= 1; end
  always @* if (begun)
    assert (count == before[0] + before[1] + before[2] + before[3] + before[4] + before[5]);
endmodule
"""


def test_the_count_of_six_is_one(tmp_path: Path) -> None:
    (tmp_path / "top.sv").write_text(COUNT_TOP, encoding="utf-8")
    module = resource("hw/rtl/qd_count_six.v")
    script = (
        f"read_verilog {module}; read_verilog -formal -sv top.sv; prep -top top -flatten; "
        "sat -verify -prove-asserts -tempinduct -seq 1"
    )
    done = subprocess.run(
        ["yosys", "-p", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-500:]
    assert "Induction step proven" in done.stdout


def text_of(weights: np.ndarray, bits: int, signed: bool, width: int) -> str:
    text = sums_module(plan_sums(weights, bits, signed, width), "m")
    return text.split("`else\n")[1].split("`endif")[0]


def expected_factors(weights: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    factors = 1 << np.arange(bits)
    if signed:
        factors[-1] *= -1
    return (weights[:, :, None] * factors).reshape(len(weights), -1)


def proved(text: str, weights: np.ndarray, bits: int, signed: bool, width: int) -> bool:
    expected = expected_factors(weights, bits, signed) % (1 << width)
    latency = circuit(plan_sums(weights, bits, signed, width)).latency
    try:
        module, sums = read_circuit(text, weights.shape[1] * bits)
        rewriter = Rewriter(Circuit(module), COUNTERS)
        found = [rewriter.word(word) for word in sums if len(word) == width]
    except (UnreadableError, NotProvedError):
        return False
    return found == [
        {((CODES, bit, latency),): int(factor) for bit, factor in enumerate(row) if factor}
        for row in expected
    ]


def drawn(case: tuple[tuple[int, int], int, int, bool, int], seed: int) -> np.ndarray:
    shape, most, *_ = case
    return np.random.default_rng(seed).integers(-most, most + 1, shape)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", CASES)
def test_every_circuit_is_proved(
    case: tuple[tuple[int, int], int, int, bool, int], seed: int
) -> None:
    weights, (_, _, bits, signed, width) = drawn(case, seed), case
    assert proved(text_of(weights, bits, signed, width), weights, bits, signed, width)


def test_no_circuit_of_other_weights_is() -> None:
    shape, _, bits, signed, width = CASES[0]
    weights = drawn(CASES[0], 0)
    text = text_of(weights, bits, signed, width)
    for row, column in product(range(shape[0]), range(shape[1])):
        other = weights.copy()
        other[row, column] += 1
        assert not proved(text, other, bits, signed, width)


def evaluate(text: str, code_bits: int, codes: int) -> list[int]:
    """The sums for one word of codes that stays, cell by cell."""
    module, sums = read_circuit(text, code_bits)
    values = {bit: codes >> index & 1 for index, bit in enumerate(module.inputs[CODES])}
    values |= {0: 0, ONE: 1}

    def word(bits: list[int]) -> int:
        return sum(values[bit] << index for index, bit in enumerate(bits))

    for cell in module.cells:
        ports = cell.ports
        if cell.kind == "$add":
            result, to = word(ports["A"]) + word(ports["B"]), ports["Y"]
        elif cell.kind == "$not":
            result, to = ~word(ports["A"]), ports["Y"]
        elif cell.kind == "$dff":
            result, to = word(ports["D"]), ports["Q"]
        else:
            result, to = sum(values[bit] for bit in ports["x"]), ports["count"]
        values |= {bit: result >> index & 1 for index, bit in enumerate(to)}
    return [word(bits) for bits in sums]


def mutated(text: str, chance: random.Random) -> str:
    """One bit elsewhere, inverted, or constant; one width or slice changed."""
    bits = list(re.finditer(r"~?\b[a-z]\d+(?:_\d+)?\[\d+\]|~?\br\d+\b(?!;)|1'b[01]", text))
    match = chance.choice(bits)
    kind = chance.randrange(3)
    if kind == 0:
        new = match[0][1:] if match[0].startswith("~") else f"~{match[0]}"
        if match[0].startswith("1'b"):
            new = "1'b1" if match[0] == "1'b0" else "1'b0"
    elif kind == 1:
        new = chance.choice(bits)[0]
    else:
        numbers = list(re.finditer(r"(?<=\[)\d+(?= \+:)|(?<=d)\d+(?=;)", text))
        match = chance.choice(numbers)
        new = str(int(match[0]) + 1)
    return text[: match.start()] + new + text[match.end() :]


@pytest.mark.parametrize("case", CASES)
def test_a_circuit_with_one_change_is_not_proved_unless_it_is_the_same(
    case: tuple[tuple[int, int], int, int, bool, int],
) -> None:
    weights, (_, _, bits, signed, width) = drawn(case, 1), case
    text, chance = text_of(weights, bits, signed, width), random.Random(7)
    words = [chance.getrandbits(weights.shape[1] * bits) for _ in range(40)]
    size = weights.shape[1] * bits
    expected = [evaluate(text, size, word) for word in words]
    found = 0
    for _ in range(60):
        broken = mutated(text, chance)
        if not proved(broken, weights, bits, signed, width):
            found += 1
            continue
        assert [evaluate(broken, size, word) for word in words] == expected
    assert found > 20

"""Sums that have the weights in their logic, read back.

The module has its sums twice: as one expression, which Verilator simulates, and as a circuit, which
is synthesized. The expression is linear in the bits of the codes by its form,

    total = Σ factor · |{bits of codes under a mask}|      or   Σ weight · code

so it is equal to the weights when each bit has the factor that the weight of its code gives it. The
circuit is proved equal by rewriting it backward (`qdeploy.verify.sums`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from qdeploy.ir.integer_graph import IntArray, IntType
from qdeploy.verify.memories.blocks import Block
from qdeploy.verify.memories.circuit import read_circuit
from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.memories.reader import LayerReading
from qdeploy.verify.sums.circuit import Circuit
from qdeploy.verify.sums.dots import COUNTERS
from qdeploy.verify.sums.polynomial import ONE, Polynomial
from qdeploy.verify.sums.results import NotProvedError
from qdeploy.verify.sums.rewriting import Rewriter

_MODULE = re.compile(
    r"\s*`default_nettype none\n"
    r"module (?P<name>\w+) \(\n"
    r"  input  wire clk,\n"
    r"  input  wire \[(?P<codes>\d+):0\] codes,\n"
    r"  output wire \[(?P<sums>\d+):0\] sums\n\);\n"
    r"  /\* verilator no_inline_module \*/\n"
    r"`ifdef VERILATOR\n`ifndef QD_STRUCTURAL\n`define QD_SUM_AT_ONCE\n`endif\n`endif\n"
    r"`ifdef QD_SUM_AT_ONCE\n(?P<at_once>[^`]*)`else\n(?P<circuit>[^`]*)`endif\n"
    r"endmodule\n`undef QD_SUM_AT_ONCE\n`default_nettype wire\n\s*"
)
_AT_ONCE = re.compile(
    r"  reg \[(?P<top>\d+):0\] delay \[0:(?P<last>\d+)\];\n"
    r"  reg \[(?P=top):0\] now;\n"
    r"  reg signed \[31:0\] total;\n"
    r"  wire \[31:0\] unused_total = total;\n"
    r"  integer i;\n"
    r"  always @\* begin\n(?P<rows>.*?)  end\n"
    r"  always @\(posedge clk\) begin\n"
    r"    delay\[0\] <= now;\n"
    r"    for \(i = 1; i < (?P<stages>\d+); i = i \+ 1\) delay\[i\] <= delay\[i-1\];\n"
    r"  end\n"
    r"  assign sums = delay\[(?P=last)\];\n",
    re.DOTALL,
)
_ROW = re.compile(r"    total = (.*);\n    now\[(\d+) \+: (\d+)\] = total\[(\d+):0\];\n")
_COUNT = re.compile(r"\((-?\d+)\)\*\$signed\(\$countones\(codes & (\d+)'h([0-9a-f]+)\)\)")
_PRODUCT = re.compile(
    r"\((-?\d+)\)\*\$signed\(\{\{(\d+)\{(1'b0|codes\[(\d+)\])\}\}, codes\[(\d+) \+: (\d+)\]\}\)"
)


def check_constant_sums(
    reading: LayerReading,
    block: Block,
    matrix: IntArray,
    kind: IntType,
    name: Callable[[int, int], str],
) -> None:
    """Compare the expression with the weights (rows, columns), bit by bit of the codes.

    Args:
        kind: of a code.
        name: of a weight, for people.

    Raises:
        UnreadableError: the module is not of the form above.
    """
    if len(reading.wrapper.embedded) != 1:
        raise UnreadableError("there is no module of its sums")
    place, (rows, columns) = reading.place, matrix.shape
    width, latency = block.number("ACC"), block.number("LATENCY")
    module = _MODULE.fullmatch(reading.rest)
    if module is None or module["name"] != reading.wrapper.embedded[0].module:
        raise UnreadableError("the module of its sums is of another form")
    body = _AT_ONCE.fullmatch(module["at_once"])
    if body is None:
        raise UnreadableError("the sums that are simulated are of another form")
    place.check("bits of its codes", columns * kind.bits, int(module["codes"]) + 1)
    place.check("bits of its sums", rows * width, int(module["sums"]) + 1)
    place.check("bits of its sums", rows * width, int(body["top"]) + 1)
    stages = int(body["last"]) + 1
    place.check("stages of the sums", stages, int(body["stages"]))
    # The codes are in a register before the sums begin.
    place.check("parameter LATENCY of qd_unrolled", stages + 1, latency)
    lines = _ROW.findall(body["rows"])
    if "".join(_row_text(*line) for line in lines) != body["rows"] or len(lines) != rows:
        raise UnreadableError("the rows of the sums that are simulated are of another form")
    found = np.zeros((rows, columns * kind.bits), dtype=np.int64)
    for row, (expression, low, bits, top) in enumerate(lines):
        slices = int(low), int(bits), int(top)
        place.check(f"bits of sum {row}", (row * width, width, width - 1), slices)
        _add_terms(found[row], expression, kind.bits)
    factors = 1 << np.arange(kind.bits, dtype=np.int64)
    if kind.signed:
        factors[-1] *= -1
    expected = (matrix[:, :, None] * factors).reshape(rows, -1)
    place.ledger.counted["weights read"] += matrix.size
    place.ledger.counted["sums in logic"] += rows
    place.arrays(
        expected,
        found,
        lambda row, bit: f"{name(row, bit // kind.bits)}, times bit {bit % kind.bits} of the code",
    )
    _prove_circuit(reading, module["circuit"], expected, width, stages, kind, name)


def _prove_circuit(
    reading: LayerReading,
    text: str,
    expected: IntArray,
    width: int,
    latency: int,
    kind: IntType,
    name: Callable[[int, int], str],
) -> None:
    """The circuit that is synthesized gives the same sums, for all codes.

    Args:
        expected: factor of each bit of the codes in each row.
        latency: cycles from the codes to the sums.
    """
    rows, code_bits = expected.shape
    place = reading.place
    module, sums = read_circuit(text, code_bits)
    place.check("rows of the circuit of its sums", rows, len(sums))
    found = np.zeros(expected.shape, dtype=np.int64)
    try:
        rewriter = Rewriter(Circuit(module), COUNTERS)
        for row, bits in enumerate(sums[:rows]):
            place.check(f"bits of sum {row} of the circuit", width, len(bits))
            value = rewriter.word(bits)
            cycles = {at for monomial in value for _, _, at in monomial}
            if cycles:
                only = cycles.pop() if len(cycles) == 1 else sorted(cycles)
                place.check(f"cycles of sum {row} of the circuit", latency, only)
            place.check(f"constant of sum {row} of the circuit", 0, value.pop(ONE, 0))
            _set_factors(found[row], value)
    except NotProvedError as error:
        raise UnreadableError(f"the circuit of its sums is not proved: {error}") from error
    place.ledger.counted["sums proved"] += rows
    place.arrays(
        expected % (1 << width),
        found,
        lambda row, bit: (
            f"{name(row, bit // kind.bits)}, times bit {bit % kind.bits} of the code, "
            "in the circuit"
        ),
    )


def _set_factors(row: IntArray, value: Polynomial) -> None:
    """The factor of each bit of the codes.

    Raises:
        NotProvedError: the sum has products of bits.
    """
    for monomial, factor in value.items():
        if len(monomial) > 1:
            raise NotProvedError("it multiplies bits with each other")
        ((_, bit, _),) = monomial
        row[bit] = factor


def _row_text(expression: str, low: str, bits: str, top: str) -> str:
    return f"    total = {expression};\n    now[{low} +: {bits}] = total[{top}:0];\n"


def _add_terms(row: IntArray, expression: str, bits: int) -> None:
    """Add an expression's factors to those of each bit of the codes."""
    if expression == "0":
        return
    for term in expression.split(" + "):
        if count := _COUNT.fullmatch(term):
            mask = int(count[3], 16)
            if int(count[2]) != len(row) or mask >= 1 << len(row):
                raise UnreadableError("a mask of the sums has another width than the codes")
            data = np.frombuffer(mask.to_bytes((len(row) + 7) // 8, "little"), dtype=np.uint8)
            under = np.unpackbits(data, bitorder="little")[: len(row)].astype(bool)
            row[under] += int(count[1])
        else:
            _add_product(row, term, bits)


def _add_product(row: IntArray, term: str, bits: int) -> None:
    product = _PRODUCT.fullmatch(term)
    if product is None:
        raise UnreadableError(f"`{term[:60]}` is no term of a sum")
    weight, spare, sign, top, low, size = product.groups()
    at = int(low)
    if int(size) != bits or int(spare) != 32 - bits or at % bits or at + bits > len(row):
        raise UnreadableError("a code in the sums has other bits")
    for bit in range(bits):
        row[at + bit] += int(weight) << bit
    if sign != "1'b0":
        if int(top) != at + bits - 1:
            raise UnreadableError("a code in the sums has its sign from another bit")
        # Sign extension: the top bit counts 2^(bits-1) - 2^bits.
        row[at + bits - 1] -= int(weight) << bits

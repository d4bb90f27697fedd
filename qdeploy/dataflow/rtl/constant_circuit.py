"""The circuit of constant sums (`constant_sums`): its Verilog, its latency, and what it takes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from qdeploy.dataflow.rtl.constant_sums import Number, Plan

# Bits of a column that one counter takes.
SIX = 6
# From this length on synthesis makes shift registers of registers in a row.
SHIFT = 3
_WORD = 32
Column = list[str]
Heap = list[Column]


@dataclass(frozen=True)
class Circuit:
    """Statements of the module body, and their figures.

    Args:
        latency: cycles from the activations to the sums.
        lut, ff: by construction: a counter of six has three LUTs, an adder one for each column in
            which it adds, a bit that waits for `SHIFT` cycles or more one (a shift register); what
            several rows have in common is counted once.
    """

    lines: tuple[str, ...]
    sums: tuple[str, ...]
    latency: int
    lut: int
    ff: int


@functools.lru_cache(maxsize=64)
def circuit(plan: Plan) -> Circuit:
    """Build the circuit of a plan; kept, as a folding asks for it again and again."""
    return _Builder(plan).build()


def sums_module(plan: Plan, name: str) -> str:
    """The module `name`: clk, `codes` in, `sums` out `latency` cycles later, a new one each cycle.

    The simulator counts set bits under masks, or multiplies, and delays the result, unless
    QD_STRUCTURAL is defined.
    """
    made = circuit(plan)
    rows, width = len(plan.rows), plan.width
    lines = [
        "`default_nettype none",
        f"module {name} (",
        "  input  wire clk,",
        f"  input  wire [{plan.inputs * plan.bits - 1}:0] codes,",
        f"  output wire [{rows * width - 1}:0] sums",
        ");",
        "  /* verilator no_inline_module */",
        "`ifdef VERILATOR",
        "`ifndef QD_STRUCTURAL",
        "`define QD_SUM_AT_ONCE",
        "`endif",
        "`endif",
        "`ifdef QD_SUM_AT_ONCE",
        *_at_once(plan, made.latency),
        "`else",
        *made.lines,
        f"  assign sums = {_concatenated(list(made.sums))};",
        "`endif",
        "endmodule",
        "`undef QD_SUM_AT_ONCE",
        "`default_nettype wire",
        "",
    ]
    return "\n".join(lines)


def _concatenated(parts: list[str]) -> str:
    """The first part in the least significant bits."""
    return "{" + ", ".join(reversed(parts)) + "}"


# ---- what is synthesized ----


@dataclass
class _Sum:
    """A number while it is summed up: bit i is in column `low` + i."""

    low: int
    bits: list[str]


@dataclass
class _Builder:
    plan: Plan
    lines: list[str] = field(default_factory=list)
    lut: int = 0
    ff: int = 0
    _delayed: dict[tuple[int, int], str] = field(default_factory=dict)
    _shared: dict[tuple[str, ...], str] = field(default_factory=dict)
    _stored: dict[str, str] = field(default_factory=dict)
    _source: dict[str, str] = field(default_factory=dict)
    _uses: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def build(self) -> Circuit:
        plan = self.plan
        for index, number in enumerate(plan.numbers):
            self._number(index, number)
        ends = [self._row(row) for row in range(len(plan.rows))]
        latency = max(1, max(stage for stage, _ in ends))
        sums = []
        for stage, bits in ends:
            late = [self._late(bit, latency - stage) for bit in bits]
            for bit in late:
                self._use(bit)
            sums.append(_concatenated(late))
        self._shift_registers()
        return Circuit(tuple(self.lines), tuple(sums), latency, self.lut, self.ff)

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def _use(self, *bits: str) -> None:
        for bit in bits:
            plain = bit.lstrip("~")
            self._uses[plain] = self._uses.get(plain, 0) + 1

    def _shift_registers(self) -> None:
        """Count registers in a row, of which only the last one is used, as what they become."""
        for end in self._source:
            if self._uses.get(end, 0) == 1 and end in self._stored:
                continue  # not the last
            length, at = 1, self._source[end]
            while at in self._source and self._uses.get(at, 0) == 1:
                length, at = length + 1, self._source[at]
            if length >= SHIFT:
                self.ff -= length
                self.lut += 1

    def _register(self, bit: str) -> str:
        """The bit one cycle later; rows that store the same bit share the register."""
        if bit.startswith("1'b"):
            return bit
        inverted, plain = bit.startswith("~"), bit.lstrip("~")
        if plain not in self._stored:
            name = self._new("r")
            self.lines.append(f"  reg {name}; always @(posedge clk) {name} <= {plain};")
            self.ff += 1
            self._use(plain)
            self._source[name] = plain
            self._stored[plain] = name
        return f"~{self._stored[plain]}" if inverted else self._stored[plain]

    def _late(self, bit: str, cycles: int) -> str:
        for _ in range(cycles):
            bit = self._register(bit)
        return bit

    def _number(self, index: int, number: Number) -> None:
        """Activations are slices of `codes`, a sign bit inverted; shared sums are adders."""
        plan = self.plan
        if number.left < 0:
            low = index * plan.bits
            if plan.signed:
                self.lines.append(
                    f"  wire [{number.bits - 1}:0] n{index}_0 = codes[{low} +: {plan.bits}] ^ "
                    f"{plan.bits}'d{1 << (plan.bits - 1)};"
                )
            else:
                self.lines.append(
                    f"  wire [{number.bits - 1}:0] n{index}_0 = codes[{low} +: {plan.bits}];"
                )
            self._delayed[index, 0] = f"n{index}_0"
            return
        name = f"n{index}_{number.level}"
        operands = []
        for operand, minus in ((number.left, False), (number.right, number.minus)):
            one = plan.numbers[operand]
            text = self._at(operand, number.level - 1)
            zeros = f"{number.bits - one.bits}'d0"
            operands.append(f"{{{zeros}, {'~' if minus else ''}{text}}}")
        self.lines.append(
            f"  reg [{number.bits - 1}:0] {name}; "
            f"always @(posedge clk) {name} <= {operands[0]} + {operands[1]};"
        )
        self.lut += number.bits - 1
        self.ff += number.bits
        self._delayed[index, number.level] = name

    def _at(self, index: int, stage: int) -> str:
        """The number `index` at a stage not before its own."""
        if (index, stage) not in self._delayed:
            earlier, bits = self._at(index, stage - 1), self.plan.numbers[index].bits
            name = f"n{index}_{stage}"
            self.lines.append(
                f"  reg [{bits - 1}:0] {name}; always @(posedge clk) {name} <= {earlier};"
            )
            self.ff += bits
            self._delayed[index, stage] = name
        return self._delayed[index, stage]

    def _row(self, row: int) -> tuple[int, list[str]]:
        """Stage at which the row's sum is there, and its bits."""
        plan = self.plan
        arriving: dict[int, list[tuple[int, str]]] = {}
        for term in plan.rows[row]:
            number = plan.numbers[term.number]
            sign = "~" if term.minus else ""
            name = f"n{term.number}_{number.level}"
            arriving.setdefault(number.level, []).extend(
                (term.shift + bit, f"{sign}{name}[{bit}]") for bit in range(number.bits)
            )
        heap: Heap = [[] for _ in range(plan.width)]
        last = max(arriving, default=0)
        stage = 0
        while True:
            for column, bit in arriving.get(stage, ()):
                if column < plan.width:
                    heap[column].append(bit)
            if stage == last:
                # A constant's ones fill up columns like any bit.
                for column in range(plan.width):
                    if plan.constants[row] >> column & 1:
                        heap[column].append("1'b1")
            if stage >= last and max(map(len, heap), default=0) < SIX:
                return self._adders(heap, stage)
            heap = self._compress(heap)
            stage += 1

    def _compress(self, heap: Heap) -> Heap:
        """One stage: counts of six, and registers for the rest."""
        after: Heap = [[] for _ in heap]
        for column, bits in enumerate(heap):
            whole = len(bits) - len(bits) % SIX
            for at in range(0, whole, SIX):
                count = self._counter(tuple(bits[at : at + SIX]))
                for more in range(3):
                    if column + more < len(heap):
                        after[column + more].append(f"{count}[{more}]")
            after[column] += [self._register(bit) for bit in bits[whole:]]
        return after

    def _counter(self, bits: tuple[str, ...]) -> str:
        if bits not in self._shared:
            name = self._new("c")
            self.lines.append(
                f"  wire [2:0] {name}; qd_count_six {name}_i "
                f"(.clk(clk), .x({_concatenated(list(bits))}), .count({name}));"
            )
            self.lut += 3
            self.ff += 3
            self._use(*bits)
            self._shared[bits] = name
        return self._shared[bits]

    def _adders(self, heap: Heap, stage: int) -> tuple[int, list[str]]:
        """A tree over what is left, at most five bits a column."""
        numbers = []
        for row in range(max(map(len, heap), default=0)):
            columns = [column for column, bits in enumerate(heap) if len(bits) > row]
            low, high = columns[0], columns[-1]
            bits = [b[row] if len(b) > row else "1'b0" for b in heap[low : high + 1]]
            numbers.append(_Sum(low, bits))
        while len(numbers) > 1:
            paired = []
            for at in range(0, len(numbers) - 1, 2):
                paired.append(self._add(numbers[at], numbers[at + 1]))
            if len(numbers) % 2:
                alone = numbers[-1]
                paired.append(_Sum(alone.low, [self._register(bit) for bit in alone.bits]))
            numbers = paired
            stage += 1
        width = self.plan.width
        if not numbers:
            return stage, ["1'b0"] * width
        low, bits = numbers[0].low, numbers[0].bits
        padded = ["1'b0"] * low + bits
        return stage, (padded + ["1'b0"] * (width - len(padded)))[:width]

    def _add(self, one: _Sum, two: _Sum) -> _Sum:
        """The sum one cycle later; columns below the overlap pass by."""
        first, second = sorted((one, two), key=lambda number: number.low)
        passing = second.low - first.low
        if passing >= len(first.bits):
            gap = ["1'b0"] * (passing - len(first.bits))
            return _Sum(first.low, [self._register(b) for b in [*first.bits, *gap, *second.bits]])
        passed = [self._register(bit) for bit in first.bits[:passing]]
        rest = first.bits[passing:]
        added = max(len(rest), len(second.bits))
        bits = min(added + 1, self.plan.width - second.low)
        operands = []
        for part in (rest, second.bits):
            padded = [*part, *["1'b0"] * (bits - len(part))][:bits]
            operands.append(_concatenated(padded))
        self._use(*rest, *second.bits)
        name = self._new("a")
        self.lines.append(
            f"  reg [{bits - 1}:0] {name}; "
            f"always @(posedge clk) {name} <= {operands[0]} + {operands[1]};"
        )
        self.lut += min(added, bits)
        self.ff += bits
        return _Sum(first.low, [*passed, *(f"{name}[{bit}]" for bit in range(bits))])


# ---- what is simulated ----


def _at_once(plan: Plan, latency: int) -> Iterator[str]:
    """All sums in one step, and a delay line."""
    rows, width = len(plan.rows), plan.width
    total = rows * width
    yield f"  reg [{total - 1}:0] delay [0:{latency - 1}];"
    yield f"  reg [{total - 1}:0] now;"
    yield "  reg signed [31:0] total;"
    yield "  wire [31:0] unused_total = total;"
    yield "  integer i;"
    yield "  always @* begin"
    for row in range(rows):
        yield f"    total = {_row_expression(plan, row)};"
        yield f"    now[{row * width} +: {width}] = total[{width - 1}:0];"
    yield "  end"
    yield "  always @(posedge clk) begin"
    yield "    delay[0] <= now;"
    yield f"    for (i = 1; i < {latency}; i = i + 1) delay[i] <= delay[i-1];"
    yield "  end"
    yield f"  assign sums = delay[{latency - 1}];"


def _row_expression(plan: Plan, row: int) -> str:
    """Counts under masks where weights have few digits, else products."""
    weights, bits = plan.weights[row], plan.bits
    values = sorted({abs(int(weight)) for weight in weights} - {0})
    words = -(-plan.inputs * bits // _WORD)
    if not values:
        return "0"
    if 2 * len(values) * bits * words > 2 * plan.inputs:
        return " + ".join(
            f"({int(weight)})*{_activation(plan, lane)}"
            for lane, weight in enumerate(weights)
            if weight
        )
    terms = []
    for value in values:
        for bit in range(bits):
            for sign in (1, -1):
                lanes = np.flatnonzero(weights == sign * value).tolist()
                if lanes:
                    mask = sum(1 << (lane * bits + bit) for lane in lanes)
                    top = plan.signed and bit == bits - 1
                    factor = sign * value * (1 << bit) * (-1 if top else 1)
                    masked = f"codes & {plan.inputs * bits}'h{mask:x}"
                    terms.append(f"({factor})*$signed($countones({masked}))")
    return " + ".join(terms)


def _activation(plan: Plan, lane: int) -> str:
    low, bits = lane * plan.bits, plan.bits
    top = f"codes[{low + bits - 1}]" if plan.signed else "1'b0"
    return f"$signed({{{{{32 - bits}{{{top}}}}}, codes[{low} +: {bits}]}})"

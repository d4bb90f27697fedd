"""The circuit of constant sums, read as cells.

It has four kinds of statements: a slice of the codes, a register, a count of six bits, an addition.
`qdeploy.verify.sums` proves what the cells give.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from qdeploy.verify.memories.ledger import UnreadableError
from qdeploy.verify.sums.rtlil import ONE, ZERO, Cell, Module

_NAME = r"[a-z]\w*"
_SLICE = re.compile(
    rf"  wire \[(\d+):0\] ({_NAME}) = codes\[(\d+) \+: (\d+)\](?: \^ (\d+)'d(\d+))?;"
)
_BIT = re.compile(rf"  reg ({_NAME}); always @\(posedge clk\) \1 <= (.+);")
_WORD = re.compile(rf"  reg \[(\d+):0\] ({_NAME}); always @\(posedge clk\) \2 <= (.+);")
_COUNT = re.compile(
    rf"  wire \[2:0\] ({_NAME}); qd_count_six \1_i \(\.clk\(clk\), \.x\((.+)\), \.count\(\1\)\);"
)
_SUMS = re.compile(r"  assign sums = \{(\{.+\})\};")
_SUM = re.compile(r"(\{[^{}]+\}) \+ (\{[^{}]+\})")
_EXTENDED = re.compile(rf"\{{(\d+)'d0, (~?)({_NAME})\}}")
_ONE = re.compile(rf"(~?)({_NAME})(?:\[(\d+)\])?")
CODES = "codes"
_PORTS = ("clk", CODES, "sums")


def read_circuit(text: str, code_bits: int) -> tuple[Module, list[list[int]]]:
    """Read the statements.

    Args:
        code_bits: width of `codes`.

    Returns:
        The cells, and the bits of each sum, the least significant first.

    Raises:
        UnreadableError: a line is of no kind that is known, or reads what is not there.
    """
    reader = _Reader(code_bits)
    sums: list[list[int]] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if sums:
            raise UnreadableError("there is more after the sums of the circuit")
        if found := _SUMS.fullmatch(line):
            rows = found[1][1:-1].split("}, {")
            sums = [reader.bits(f"{{{row}}}") for row in reversed(rows)]
        else:
            reader.statement(line)
    if not sums:
        raise UnreadableError("the circuit has no sums")
    return reader.module, sums


@dataclass
class _Reader:
    code_bits: int
    module: Module = field(default_factory=Module)
    # Name -> bits, and whether it is declared without a range.
    words: dict[str, tuple[list[int], bool]] = field(default_factory=dict)
    inverses: dict[int, int] = field(default_factory=dict)
    last: int = 2

    def __post_init__(self) -> None:
        (clock,) = self.new(1)
        codes = self.new(self.code_bits)
        self.clock = clock
        self.module.inputs["clk"] = range(clock, clock + 1)
        self.module.inputs[CODES] = range(codes[0], codes[-1] + 1)

    def new(self, bits: int) -> list[int]:
        self.last += bits
        return list(range(self.last - bits + 1, self.last + 1))

    def cell(self, kind: str, **ports: list[int]) -> None:
        parameters = {"CLK_POLARITY": 1} if kind == "$dff" else {}
        self.module.cells.append(Cell(kind, parameters, ports))

    def statement(self, line: str) -> None:
        """Add what a line declares."""
        if found := _SLICE.fullmatch(line):
            self.declare(found[2], self.slice(*found.groups()))
        elif found := _BIT.fullmatch(line):
            self.declare(found[1], self.register([self.bit(found[2])]), plain=True)
        elif found := _COUNT.fullmatch(line):
            six, count = self.bits(found[2]), self.new(3)
            if len(six) != 6:
                raise UnreadableError(f"`{found[1]}` counts {len(six)} bits")
            self.cell("\\qd_count_six", clk=[self.clock], x=six, count=count)
            self.declare(found[1], count)
        elif found := _WORD.fullmatch(line):
            bits = int(found[1]) + 1
            sums = _SUM.fullmatch(found[3])
            if sums is None:
                self.declare(found[2], self.register(self.operand(found[3], bits)))
            else:
                one, two = (self.operand(part, bits) for part in sums.groups())
                total = self.new(bits)
                self.cell("$add", A=one, B=two, Y=total)
                self.declare(found[2], self.register(total))
        else:
            raise UnreadableError(f"`{line.strip()[:60]}` is no statement of a circuit of sums")

    def declare(self, name: str, bits: list[int], *, plain: bool = False) -> None:
        if name in self.words or name in _PORTS:
            raise UnreadableError(f"`{name}` of the circuit is there twice")
        self.words[name] = (bits, plain)

    def slice(self, *parts: str | None) -> list[int]:
        """Bits of the codes, some of them inverted."""
        top, _, low, bits, flipped_bits, flipped = (
            int(part) if part and part.isdigit() else 0 for part in parts
        )
        if top + 1 != bits or low + bits > self.code_bits or flipped >> bits:
            raise UnreadableError(f"`{parts[1]}` is no slice of the codes")
        if flipped_bits not in (0, bits):
            raise UnreadableError(f"`{parts[1]}` is inverted in another width")
        codes = self.module.inputs[CODES]
        return [
            self.inverse(codes[low + i]) if flipped >> i & 1 else codes[low + i]
            for i in range(bits)
        ]

    def register(self, source: list[int]) -> list[int]:
        later = self.new(len(source))
        self.cell("$dff", CLK=[self.clock], D=source, Q=later)
        return later

    def inverse(self, bit: int) -> int:
        if bit not in self.inverses:
            (self.inverses[bit],) = self.new(1)
            self.cell("$not", A=[bit], Y=[self.inverses[bit]])
        return self.inverses[bit]

    def word(self, name: str, inverted: bool) -> list[int]:
        if name not in self.words:
            raise UnreadableError(f"`{name}` is not there when it is read")
        bits, _ = self.words[name]
        return [self.inverse(bit) for bit in bits] if inverted else bits

    def operand(self, text: str, bits: int) -> list[int]:
        """A word, extended by zeros, or a list of bits, of exactly `bits`."""
        if found := _EXTENDED.fullmatch(text):
            operand = [*self.word(found[3], bool(found[2])), *[ZERO] * int(found[1])]
        elif _ONE.fullmatch(text) and "[" not in text:
            operand = self.word(text.lstrip("~"), text.startswith("~"))
        else:
            operand = self.bits(text)
        if len(operand) != bits:
            raise UnreadableError(f"`{text[:60]}` has {len(operand)} bits, not {bits}")
        return operand

    def bits(self, text: str) -> list[int]:
        """A concatenation of single bits, the least one first."""
        if not (text.startswith("{") and text.endswith("}")):
            raise UnreadableError(f"`{text[:60]}` is no list of bits")
        return [self.bit(part) for part in reversed(text[1:-1].split(", "))]

    def bit(self, text: str) -> int:
        if text in ("1'b0", "1'b1"):
            return ONE if text == "1'b1" else ZERO
        found = _ONE.fullmatch(text)
        if found is None or found[2] not in self.words:
            raise UnreadableError(f"`{text[:60]}` is not there when it is read")
        bits, plain = self.words[found[2]]
        if (found[3] is None) != plain:
            raise UnreadableError(f"`{text[:60]}` is no single bit")
        index = int(found[3] or 0)
        if index >= len(bits):
            raise UnreadableError(f"`{found[2]}` has no bit {index}")
        return self.inverse(bits[index]) if found[1] else bits[index]

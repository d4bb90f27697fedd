"""Proof that a circuit of constant sums is the weights, for all inputs.

The circuit that is synthesized has four kinds of statements: a slice of the codes, a register, a
count of six bits, an addition. Each gives its bits a meaning as integers:

    register   the bit, one cycle later
    count      c0 + 2·c1 + 4·c2 = x0 + … + x5             (the library's module, all 64 rows tested)
    addition   Σ 2^i·s_i = A + B                          where A + B < 2^n for all values; else
               Σ 2^i·s_i = A + B  modulo 2^n
    ~x         1 - x

A row's sum is Σ 2^i·o_i of its output bits o_i, modulo 2^width. Going back from the outputs to the
codes, the bits of every count and addition are replaced by what they are equal to. That needs their
factors to be k, 2k, 4k, … modulo 2^width, and for a sum that wraps k·2^n to vanish there; otherwise
the proof fails. Every step is an identity modulo 2^width, so what is left at the end, one factor
for each bit of the codes and a constant, is the row's sum for every input; it has to be the
weights'. Registers are counted on every way, so that only codes of one cycle are ever summed up.
"""

from __future__ import annotations

import heapq
import re
from dataclasses import dataclass, field

import numpy as np

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.memories.ledger import UnreadableError

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


@dataclass(frozen=True)
class Bit:
    """A bit of a circuit: bit `index` of `name`, or its inverse; a constant where `name` is empty,
    with the value `inverted`."""

    name: str
    index: int
    inverted: bool


@dataclass(frozen=True)
class Statement:
    """A name and what it is: the sum of operands, bit lists least bit first, modulo 2^bits.

    A register has one operand, a count six of one bit each. `stage`: cycles after the codes.
    """

    name: str
    bits: int
    operands: tuple[tuple[Bit, ...], ...]
    stage: int


@dataclass
class Circuit:
    """A circuit as read: its statements by name, in an order in which each reads earlier ones."""

    statements: dict[str, Statement] = field(default_factory=dict)
    outputs: tuple[tuple[Bit, ...], ...] = ()

    def stage(self, bits: tuple[Bit, ...], what: str) -> int | None:
        """Cycles after the codes at which bits are there, None for constants.

        Raises:
            UnreadableError: they are not all of one cycle.
        """
        found = {self.statements[bit.name].stage for bit in bits if bit.name}
        if len(found) > 1:
            raise UnreadableError(f"{what} mixes codes of different cycles")
        return found.pop() if found else None


def read_circuit(text: str, code_bits: int) -> Circuit:
    """Read the statements.

    Args:
        code_bits: width of `codes`.

    Raises:
        UnreadableError: a line is of no kind that is known, or reads what is not there.
    """
    circuit = Circuit()
    for line in text.splitlines():
        if not line.strip():
            continue
        if circuit.outputs:
            raise UnreadableError("there is more after the sums of the circuit")
        if found := _SUMS.fullmatch(line):
            rows = found[1][1:-1].split("}, {")
            circuit.outputs = tuple(_bits(circuit, f"{{{row}}}") for row in reversed(rows))
        else:
            made = _statement(circuit, line, code_bits)
            if made.name in circuit.statements:
                raise UnreadableError(f"`{made.name}` of the circuit is there twice")
            circuit.statements[made.name] = made
    if not circuit.outputs:
        raise UnreadableError("the circuit has no sums")
    return circuit


def row_factors(circuit: Circuit, row: int, width: int, code_bits: int) -> tuple[IntArray, int]:
    """Factor of each bit of the codes in a row's sum, and the constant, modulo 2^width.

    Raises:
        UnreadableError: the circuit is no sum of bits of the codes.
    """
    modulus = 1 << width
    order = {name: index for index, name in enumerate(circuit.statements)}
    factors: dict[str, dict[int, int]] = {}
    waiting: list[int] = []
    names = list(circuit.statements)
    constant = 0

    def add(bit: Bit, factor: int) -> None:
        nonlocal constant
        if not bit.name:
            constant += factor * bit.inverted
            return
        if bit.inverted:
            constant += factor
            factor = -factor
        if bit.name not in factors:
            factors[bit.name] = {}
            heapq.heappush(waiting, -order[bit.name])
        known = factors[bit.name]
        known[bit.index] = (known.get(bit.index, 0) + factor) % modulus

    for index, bit in enumerate(circuit.outputs[row]):
        add(bit, 1 << index)
    result = np.zeros(code_bits, dtype=np.int64)
    while waiting:
        one = circuit.statements[names[-heapq.heappop(waiting)]]
        known = factors.pop(one.name)
        if one.stage == 0:
            for index, bit in enumerate(one.operands[0]):
                factor = known.get(index, 0)
                constant += factor * bit.inverted
                result[bit.index] += -factor if bit.inverted else factor
            continue
        if len(one.operands) == 1:
            for index, bit in enumerate(one.operands[0]):
                add(bit, known.get(index, 0))
            continue
        unit = known.get(0, 0)
        if any((known.get(i, 0) - (unit << i)) % modulus for i in range(one.bits)):
            raise UnreadableError(f"the bits of `{one.name}` are not used as one number")
        if (unit << one.bits) % modulus and not _fits(one):
            raise UnreadableError(f"`{one.name}` may wrap around")
        for operand in one.operands:
            for index, bit in enumerate(operand):
                add(bit, unit << index)
    return result % modulus, constant % modulus


def _fits(one: Statement) -> bool:
    """Whether the sum of the operands is below 2^bits for all values."""
    most = sum(
        sum(1 << i for i, bit in enumerate(operand) if bit.name or bit.inverted)
        for operand in one.operands
    )
    return most < 1 << one.bits


def _statement(circuit: Circuit, line: str, code_bits: int) -> Statement:
    if found := _SLICE.fullmatch(line):
        top, name, low, size, flipped_size, flipped = found.groups()
        bits, mask = int(size), int(flipped or 0)
        if int(top) + 1 != bits or int(low) + bits > code_bits or mask >> bits:
            raise UnreadableError(f"`{name}` is no slice of the codes")
        if flipped_size is not None and int(flipped_size) != bits:
            raise UnreadableError(f"`{name}` is inverted in another width")
        taken = tuple(Bit(CODES, int(low) + i, bool(mask >> i & 1)) for i in range(bits))
        return Statement(name, bits, (taken,), 0)
    if found := _BIT.fullmatch(line):
        name, source = found.groups()
        one = (_bit(circuit, source),)
        return Statement(name, 1, (one,), _later(circuit, one, name))
    if found := _COUNT.fullmatch(line):
        name, source = found.groups()
        operand = _bits(circuit, source)
        if len(operand) != 6:
            raise UnreadableError(f"`{name}` counts {len(operand)} bits")
        six = tuple((bit,) for bit in operand)
        return Statement(name, 3, six, _later(circuit, operand, name))
    if found := _WORD.fullmatch(line):
        top, name, source = found.groups()
        bits = int(top) + 1
        sums = _SUM.fullmatch(source)
        parts = (source,) if sums is None else sums.groups()
        operands = tuple(_operand(circuit, part, bits) for part in parts)
        every = tuple(bit for operand in operands for bit in operand)
        return Statement(name, bits, operands, _later(circuit, every, name))
    raise UnreadableError(f"`{line.strip()[:60]}` is no statement of a circuit of sums")


def _later(circuit: Circuit, bits: tuple[Bit, ...], name: str) -> int:
    stage = circuit.stage(bits, f"`{name}`")
    if stage is None:
        raise UnreadableError(f"`{name}` is made of constants alone")
    return stage + 1


def _operand(circuit: Circuit, text: str, bits: int) -> tuple[Bit, ...]:
    """A word, extended by zeros, or a list of bits, of exactly `bits`."""
    if found := _EXTENDED.fullmatch(text):
        zeros, inverted, name = int(found[1]), bool(found[2]), found[3]
        word = _word(circuit, name, inverted)
        operand = (*word, *[Bit("", 0, False)] * zeros)
    elif _ONE.fullmatch(text) and "[" not in text:
        operand = _word(circuit, text.lstrip("~"), text.startswith("~"))
    else:
        operand = _bits(circuit, text)
    if len(operand) != bits:
        raise UnreadableError(f"`{text[:60]}` has {len(operand)} bits, not {bits}")
    return operand


def _word(circuit: Circuit, name: str, inverted: bool) -> tuple[Bit, ...]:
    if name not in circuit.statements:
        raise UnreadableError(f"`{name}` is not there when it is read")
    return tuple(Bit(name, i, inverted) for i in range(circuit.statements[name].bits))


def _bits(circuit: Circuit, text: str) -> tuple[Bit, ...]:
    """A concatenation of single bits, the least one first."""
    if not (text.startswith("{") and text.endswith("}")):
        raise UnreadableError(f"`{text[:60]}` is no list of bits")
    return tuple(_bit(circuit, part) for part in reversed(text[1:-1].split(", ")))


def _bit(circuit: Circuit, text: str) -> Bit:
    if text in ("1'b0", "1'b1"):
        return Bit("", 0, text == "1'b1")
    found = _ONE.fullmatch(text)
    if found is None or found[2] not in circuit.statements:
        raise UnreadableError(f"`{text[:60]}` is not there when it is read")
    inverted, name, index = bool(found[1]), found[2], found[3]
    bits = circuit.statements[name].bits
    if (index is None) != (bits == 1 and not name.startswith(("n", "a", "c"))):
        raise UnreadableError(f"`{text[:60]}` is no single bit")
    if index is not None and int(index) >= bits:
        raise UnreadableError(f"`{name}` has no bit {index}")
    return Bit(name, int(index or 0), inverted)

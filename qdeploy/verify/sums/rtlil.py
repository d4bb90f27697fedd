"""What Yosys writes with `write_rtlil`: wires, cells and connections of one module.

A bit of a wire is a number; the constants 0, 1 and x are the numbers `ZERO`, `ONE` and `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from qdeploy.verify.sums.results import NotProvedError

ZERO, ONE, UNKNOWN = 0, 1, 2
_CONSTANTS = {"0": ZERO, "1": ONE, "x": UNKNOWN, "z": UNKNOWN}


@dataclass
class Cell:
    """A cell; `ports` are bits, the least significant first."""

    kind: str
    parameters: dict[str, int] = field(default_factory=dict)
    ports: dict[str, list[int]] = field(default_factory=dict)


@dataclass
class Module:
    """Ports are wires with a direction; `connections` are (driven bit, its source)."""

    wires: dict[str, range] = field(default_factory=dict)
    inputs: dict[str, range] = field(default_factory=dict)
    outputs: dict[str, range] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)
    connections: list[tuple[int, int]] = field(default_factory=list)


def read_module(text: str, name: str) -> Module:
    """The module `name` of a design.

    Raises:
        NotProvedError: there is none, or it holds a process or a memory.
    """
    lines = iter(text.splitlines())
    for line in lines:
        if line == f"module \\{name}":
            return _Reader(lines).read()
    raise NotProvedError(f"Yosys found no module `{name}`")


class _Reader:
    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.module = Module()
        self.bits = len(_CONSTANTS)

    def read(self) -> Module:
        for line in self.lines:
            word, _, rest = line.lstrip().partition(" ")
            if word == "wire":
                self._wire(rest)
            elif word == "cell":
                self._cell(rest)
            elif word == "connect":
                driven, source = self._signals(rest)
                self.module.connections += zip(driven, source, strict=True)
            elif word == "end":
                return self.module
            elif word not in ("attribute", "parameter"):
                raise NotProvedError(f"Yosys left a `{word}` that is no cell")
        raise NotProvedError("Yosys' text ends inside a module")

    def _wire(self, rest: str) -> None:
        words = rest.split()
        name, options = words[-1].removeprefix("\\"), words[:-1]
        width = int(options[options.index("width") + 1]) if "width" in options else 1
        bits = range(self.bits, self.bits + width)
        self.bits += width
        self.module.wires[words[-1]] = bits
        if "offset" in options or "upto" in options or "inout" in options:
            raise NotProvedError(f"the wire `{name}` is not numbered from 0, or goes both ways")
        if "input" in options:
            self.module.inputs[name] = bits
        if "output" in options:
            self.module.outputs[name] = bits

    def _cell(self, rest: str) -> None:
        cell = Cell(rest.split(" ", 1)[0])
        for line in self.lines:
            word, _, rest = line.lstrip().partition(" ")
            if word == "end":
                break
            if word == "connect":
                port, _, signal = rest.partition(" ")
                (cell.ports[port.removeprefix("\\")],) = self._signals(signal)
            elif word == "parameter":
                self._parameter(cell, rest)
        self.module.cells.append(cell)

    @staticmethod
    def _parameter(cell: Cell, rest: str) -> None:
        name, value = rest.split()[-2:]
        if value.isdigit():
            cell.parameters[name.removeprefix("\\")] = int(value)
        elif "'" in value and not set(value.split("'")[1]) - {"0", "1"}:
            cell.parameters[name.removeprefix("\\")] = int(value.split("'")[1], 2)
        else:
            raise NotProvedError(f"Yosys wrote the parameter `{rest}`")

    def _signals(self, text: str) -> list[list[int]]:
        """The signals of a line: constants, wires and slices of them, or lists in braces."""
        found: list[list[int]] = []
        parts: list[list[int]] | None = None
        words = text.split()
        at = 0
        while at < len(words):
            word = words[at]
            at += 1
            if word == "{":
                parts = []
                continue
            if word == "}":
                assert parts is not None
                found.append([bit for part in reversed(parts) for bit in part])
                parts = None
                continue
            bits = self._chunk(word)
            if at < len(words) and words[at].startswith("["):
                high, _, low = words[at].strip("[]").partition(":")
                bits = bits[int(low or high) : int(high) + 1]
                at += 1
            (found if parts is None else parts).append(bits)
        return found

    def _chunk(self, word: str) -> list[int]:
        if word[0] in "\\$":
            return list(self.module.wires[word])
        if word.isdigit():  # Yosys' short form of a number of 32 bits
            return [int(word) >> bit & 1 for bit in range(32)]
        width, _, digits = word.partition("'")
        if not (width.isdigit() and digits) or set(digits) - set(_CONSTANTS):
            raise NotProvedError(f"Yosys wrote the constant `{word}`")
        bits = [_CONSTANTS[digit] for digit in reversed(digits)]
        fill = UNKNOWN if bits[-1] == UNKNOWN else ZERO  # `32'x` is 32 undefined bits
        return [*bits, *[fill] * (int(width) - len(bits))]

"""Single faults in the files of a stitched design, drawn from a seed, and what they would change.

A fault is one edit of one file: a weight, threshold or constant off by one, two channels swapped, a
parameter off by one, a window one pixel off, a beat that is lost, a wire of the top led elsewhere,
an operator of a library module changed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from broken_layers import dropping
from library_changes import VIEWS, form

from qdeploy.design.manifest import Design

PARAMETER = re.compile(r"\.([A-Z][A-Z0-9_]*)\((-?\d+)\)")
TEXT = re.compile(r"\.([A-Z][A-Z0-9_]*)\(\"([^\"]*)\"\)")
_WIRE = re.compile(r"\(([dvr])(\d+)\)")
_OPERATORS = {
    ">=": ">",
    "==": "!=",
    " & ": " | ",
    " + 1'b1": " + 2'd2",
    "<= s_tdata": "<= ~s_tdata",
}
_DOT = re.compile(r"\.DOT\((\d)\)")
_DOTS = ("qd_dot_planes.v", "qd_dot_mult.v", "qd_dot_xnor.v")
# In one of the two forms of a library module.
_IN_FORMS = {" + ": " - ", " & ": " | ", " ^ ": " & ", "x*y": "x+y", " << ": " + ", "<= ": "<= ~"}
# Of a border: rows and columns above, below, left, right.
_SIDES = (("PT", "PB"), ("PL", "PR"))
# They choose memories, multipliers and depths, and how early something is read: never a result.
IMPLEMENTATION = frozenset(("AHEAD", "READ", "USE_DSP", "DEPTH", "LATENCY"))


@dataclass(frozen=True)
class Fault:
    """One edit.

    Args:
        kind: of the fault.
        file: of the design folder; `text` is what it holds then.
        layer: the recipe's name of the layer it is in, empty where several share the file.
        what: for people.
    """

    kind: str
    file: str
    text: str
    layer: str
    what: str


@dataclass(frozen=True)
class Faults:
    """Draws faults for one design."""

    folder: Path
    design: Design
    random: random.Random

    def draw(self, kind: str) -> Fault | None:
        """A fault of a kind, None where the design has no place for one."""
        return getattr(self, f"_{kind}")()

    def _weight(self) -> Fault | None:
        """The lowest bit of one weight: off by one."""
        ways: list[Callable[[], Fault | None]] = [
            lambda: self._hex("WFILE", lambda p: (p["PE"] * p.get("SIMD", 1), p["WB"])),
            self._mask,
        ]
        self.random.shuffle(ways)
        return ways[0]() or ways[1]()

    def _threshold(self) -> Fault | None:
        return self._hex("TFILE", lambda p: (p.get("PE", p.get("MH", 1)) * p["NT"], p["ACC"]))

    def _constant(self) -> Fault | None:
        """A multiplier, an offset or a bias."""
        name, bits = self.random.choice((("MFILE", "MB"), ("BFILE", "BB")))
        return self._hex(name, lambda p: (p["PE"], p[bits]))

    def _channels(self) -> Fault | None:
        """Two words of a weight memory, which belong to other rows or columns, change places."""
        layer, file = self._memory("WFILE")
        if file is None:
            return None
        lines = self._read(file).splitlines()
        pairs = [(i, j) for i in range(len(lines)) for j in range(i) if lines[i] != lines[j]]
        if not pairs:
            return None
        i, j = self.random.choice(pairs)
        lines[i], lines[j] = lines[j], lines[i]
        return Fault("channels", file, "\n".join(lines) + "\n", layer, f"words {i} and {j}")

    def _parameter(self) -> Fault | None:
        """A number in a wrapper, off by one."""
        one = self.random.choice(self.design.layers)
        text = self._read(f"{one.module}.v")
        # Without thresholds (NT 0) nothing reads BASE.
        idle = {*IMPLEMENTATION, "BASE"} if ".NT(0)" in text else IMPLEMENTATION
        found = [m for m in PARAMETER.finditer(text) if m[1] not in idle]
        if not found:
            return None
        match = self.random.choice(found)
        value = int(match[2]) + self.random.choice((-1, 1))
        edited = f"{text[: match.start()]}.{match[1]}({value}){text[match.end() :]}"
        return Fault("parameter", f"{one.module}.v", edited, one.layer, f"{match[0]} -> {value}")

    def _window(self) -> Fault | None:
        """Windows one row or column off: the border has one more on one side, one less on the
        other."""
        places = []
        for one in self.design.layers:
            numbers = {m[1]: int(m[2]) for m in PARAMETER.finditer(self._read(f"{one.module}.v"))}
            places += [
                (one, more, less)
                for pair in _SIDES
                for more, less in (pair, pair[::-1])
                if numbers.get(less, 0) > 0
            ]
        if not places:
            return None
        one, more, less = self.random.choice(places)
        text = self._read(f"{one.module}.v")
        for name, step in ((more, 1), (less, -1)):
            text = re.sub(
                rf"\.{name}\((\d+)\)", lambda m, n=name, s=step: f".{n}({int(m[1]) + s})", text
            )
        return Fault("window", f"{one.module}.v", text, one.layer, f"{more} + 1, {less} - 1")

    def _beat(self) -> Fault | None:
        """A layer that takes its third beat and does not pass it on."""
        one = self.random.choice(self.design.layers)
        text = dropping(self._read(f"{one.module}.v"))
        return Fault("beat", f"{one.module}.v", text, one.layer, "third beat lost")

    def _wire(self) -> Fault | None:
        """A port of a layer at another stream's wire."""
        file = f"{self.design.top}.v"
        text = self._read(file)
        match = self.random.choice(list(_WIRE.finditer(text)))
        other = (int(match[2]) + 1) % len(self.design.streams)
        edited = f"{text[: match.start()]}({match[1]}{other}){text[match.end() :]}"
        return Fault("wire", file, edited, "", f"{match[0]} -> {match[1]}{other}")

    def _library(self) -> Fault | None:
        """An operator of a library module."""
        own = {f"{layer.module}.v" for layer in self.design.layers} | {f"{self.design.top}.v"}
        places = []
        for name in sorted({*self.design.sources} - own):
            body = self._read(name)
            start = body.index("\nmodule ")
            places += [
                (name, at, old)
                for old in _OPERATORS
                for at in _starts(body, old, start)
                if not _in_comment(body, at)
            ]
        if not places:
            return None
        name, at, old = self.random.choice(places)
        text = self._read(name)
        edited = text[:at] + _OPERATORS[old] + text[at + len(old) :]
        return Fault("library", name, edited, "", f"{old.strip()} at {at}")

    def _forms(self) -> Fault | None:
        """An operator of a library module in one form only: that which is simulated, or that which
        is synthesized. The design has the library's own files."""
        places = []
        wrappers = "".join(self._read(f"{layer.module}.v") for layer in self.design.layers)
        used = sorted({_DOTS[int(kind)] for kind in _DOT.findall(wrappers)})
        for name in used:
            text = self._read(name)
            for view in VIEWS:
                start, end = form(text, view)
                places += [
                    (name, view, at, old)
                    for old in _IN_FORMS
                    for at in _starts(text, old, start)
                    if at < end and not _in_comment(text, at) and not _in_loop(text, at)
                ]
        if not places:
            return None
        name, view, at, old = self.random.choice(places)
        text = self._read(name)
        edited = text[:at] + _IN_FORMS[old] + text[at + len(old) :]
        return Fault(FORMS, name, edited, "", f"{old.strip()} at {at}, {view} only")

    def _mask(self) -> Fault | None:
        """One bit of a mask of sums in logic, where there are any."""
        for one in self.random.sample(self.design.layers, len(self.design.layers)):
            text = self._read(f"{one.module}.v")
            masks = list(re.finditer(r"codes & \d+'h([0-9a-f]+)", text))
            if masks:
                match = self.random.choice(masks)
                bit = self.random.randrange(4 * len(match[1]) - 3)
                value = int(match[1], 16) ^ (1 << bit)
                if value >= 1 << (4 * len(match[1])):
                    continue
                edited = text[: match.start(1)] + f"{value:x}" + text[match.end(1) :]
                return Fault("weight", f"{one.module}.v", edited, one.layer, f"mask bit {bit}")
        return None

    def _memory(self, parameter: str) -> tuple[str, str | None]:
        """A layer and the file that one of its parameters names; a search's first stage files."""
        found = [(layer, name) for layer, name, _ in self._memories(parameter)]
        return self.random.choice(found) if found else ("", None)

    def _memories(self, parameter: str) -> Iterator[tuple[str, str, dict[str, int]]]:
        for one in self.design.layers:
            text = self._read(f"{one.module}.v")
            names = {m[1]: m[2] for m in TEXT.finditer(text)}
            numbers = {m[1]: int(m[2]) for m in PARAMETER.finditer(text)}
            stem = names.get(parameter)
            if stem:
                for name in self.design.memories:
                    if name in (stem, f"{stem}.hex") or re.fullmatch(
                        re.escape(stem) + r"_s\d+_p\d+\.hex", name
                    ):
                        yield one.layer, name, numbers

    def _hex(
        self, parameter: str, shape: Callable[[dict[str, int]], tuple[int, int]]
    ) -> Fault | None:
        """The lowest bit of one number in a memory file."""
        found = list(self._memories(parameter))
        if not found:
            return None
        layer, name, numbers = self.random.choice(found)
        many, bits = shape(numbers)
        if re.search(r"_s\d+_p\d+\.hex$", name):
            many = 1  # a search's file has one number a word
        lines = self._read(name).splitlines()
        row = self.random.randrange(len(lines))
        lane = self.random.randrange(max(1, min(many, 4 * len(lines[row]) // bits)))
        word = int(lines[row], 16) ^ (1 << (lane * bits))
        lines[row] = f"{word:0{len(lines[row])}x}"
        kind = {"WFILE": "weight", "TFILE": "threshold"}.get(parameter, "constant")
        return Fault(kind, name, "\n".join(lines) + "\n", layer, f"word {row}, number {lane}")

    def _read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")


KINDS = (
    "weight", "threshold", "constant", "channels", "parameter", "window", "beat", "wire", "library",
)  # fmt: skip
# Found by proofs, where `KINDS` are found by reading.
FORMS = "forms"


def _starts(text: str, what: str, start: int) -> Iterator[int]:
    at = text.find(what, start)
    while at >= 0:
        yield at
        at = text.find(what, at + 1)


def _in_comment(text: str, at: int) -> bool:
    return "//" in _before(text, at)


def _in_loop(text: str, at: int) -> bool:
    """Whether a place is in the head of a loop, which may not end then."""
    return "for (" in _before(text, at)


def _before(text: str, at: int) -> str:
    return text[text.rfind("\n", 0, at) + 1 : at]

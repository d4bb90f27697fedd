"""What single faults in the files of a design change, enumerated: codes of all sums that can occur,
places that a window takes.

It shares no code with the reading of a design that is tested with it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from design_faults import PARAMETER, TEXT, Fault

from qdeploy.design.manifest import Design
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.verify.units.parameters import UnitParameters, unit_parameters

_SIZES = ("H", "W", "KH", "KW", "SH", "SW", "DH", "DW", "CF")
_OF_PLACES = (*_SIZES, "DEPTHWISE")


def codes_of(folder: Path, design: Design, unit: UnitParameters) -> list[list[int]] | None:
    """Codes of a layer's thresholds as its files hold them, for every sum that can occur.

    Channel by channel, by plain counting or searching; None where the layer has no such files. This
    shares no code with the reading of a design.
    """
    module = unit.layer.module
    text = (folder / f"{module}.v").read_text(encoding="utf-8")
    names = {m[1]: m[2] for m in TEXT.finditer(text)}
    numbers = {m[1]: int(m[2]) for m in PARAMETER.finditer(text)}
    stem = names.get("TFILE")
    if unit.sum_lo is None or unit.sum_hi is None:
        return None
    if "MFILE" in names:
        return _multiplied(folder, unit, names, numbers, "DOT(2)" in text)
    if not stem:
        return None
    at = text.index(f'"{stem}"')
    near = {m[1]: int(m[2]) for m in PARAMETER.finditer(text, text.rindex("#(", 0, at))}
    numbers |= near
    bits, lanes, levels = numbers["ACC"], numbers.get("PE", numbers.get("MH", 1)), numbers["NT"]
    files = {
        name: [int(line, 16) for line in (folder / name).read_text("utf-8").split()]
        for name in design.memories
        if name.startswith(stem)
    }
    result = []
    for channel in range(unit.channels):
        lane, fold = channel % lanes, channel // lanes
        row = []
        # An XNOR unit (DOT 2) compares twice the sum, less the sum of the channel's weights.
        less = int(unit.matrix[channel].sum()) if "DOT(2)" in text else None  # type: ignore[index]
        for total in range(int(unit.sum_lo[channel]), int(unit.sum_hi[channel]) + 1):
            own = total if less is None else 2 * total - less
            row.append(_code(files, stem, own, bits, lanes, levels, lane, fold))
        result.append(row)
    return result


def _multiplied(
    folder: Path, unit: UnitParameters, names: dict[str, str], numbers: dict[str, int], xnor: bool
) -> list[list[int]]:
    """min(max(floor((x·M + B) / 2^SHIFT), LO), HI), where EVEN ties go to the even code."""
    tables = []
    for parameter, bits, signed in (("MFILE", "MB", False), ("BFILE", "BB", True)):
        lines = (folder / names[parameter]).read_text("utf-8").split()
        width, table = numbers[bits], []
        for line in lines:
            for lane in range(numbers["PE"]):
                raw = int(line, 16) >> (lane * width) & ((1 << width) - 1)
                table.append(_signed(raw, width) if signed else raw)
        tables.append(table)
    result = []
    assert unit.sum_lo is not None and unit.sum_hi is not None
    for channel in range(unit.channels):
        m, b = (table[channel % len(table)] for table in tables)
        less = int(unit.matrix[channel].sum()) if xnor else None  # type: ignore[index]
        row = []
        for total in range(int(unit.sum_lo[channel]), int(unit.sum_hi[channel]) + 1):
            value = (total if less is None else 2 * total - less) * m + b
            code = value >> numbers["SHIFT"]
            if numbers["EVEN"] and code << numbers["SHIFT"] == value:
                code -= code & 1
            row.append(min(max(code, numbers["LO"]), numbers["HI"]))
        result.append(row)
    return result


def _code(
    files: dict[str, list[int]],
    stem: str,
    total: int,
    bits: int,
    lanes: int,
    levels: int,
    lane: int,
    fold: int,
) -> int:
    plain = files.get(stem) or files.get(f"{stem}.hex")
    if plain is not None:
        word = plain[fold % len(plain)]
        numbers = [_signed(word >> ((lane * levels + t) * bits), bits) for t in range(levels)]
        return sum(total >= number for number in numbers)
    path, stages = 0, len({re.search(r"_s(\d+)_", name)[1] for name in files})  # type: ignore[index]
    for stage in range(stages):
        words = files[f"{stem}_s{stage:02d}_p{lane:04d}.hex"]
        at = (fold * (1 << stage) + path) % len(words)
        path = 2 * path + (total >= _signed(words[at], bits))
    return min(path, levels)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def changes_nothing(folder: Path, design: Design, graph: IntegerGraph, fault: Fault) -> bool:
    """Whether a fault in a threshold, multiplier or offset changes no code of any sum that can
    occur, by enumeration.

    The fault is in the files of `folder` when this is called; the thresholds it is compared with
    are the integer graph's.
    """
    for layer in design.layers:
        if not fault.file.startswith(layer.module) or not layer.nodes:
            continue
        unit = unit_parameters(design, graph, layer)
        found = codes_of(folder, design, unit)
        if found is None or unit.thresholds is None:
            return False
        assert unit.sum_lo is not None
        for channel, row in enumerate(found):
            sums = np.arange(len(row)) + int(unit.sum_lo[channel])
            expected = np.searchsorted(unit.thresholds[channel], sums, side="right")
            shift = row[0] - int(expected[0])  # levels that every sum meets are counted in BASE
            if not np.array_equal(np.array(row) - shift, expected):
                return False
        return True
    return False


def same_windows(before: str, after: str) -> bool:
    """Whether two layers' Verilog differ in a `qd_window` that takes the same places in the same
    order: with one kernel position or one beat a pixel, for instance, DEPTHWISE means nothing."""
    split = re.compile(r"qd_window (#\([^;]*?\)) block\d+")
    first, second = (split.split(text) for text in (before, after))
    if len(first) != 3 or first[::2] != second[::2]:
        return False
    one, other = ({m[1]: m[2] for m in PARAMETER.finditer(part[1])} for part in (first, second))
    rest = [{k: v for k, v in found.items() if k not in _OF_PLACES} for found in (one, other)]
    return rest[0] == rest[1] and _places(first[1]) == _places(second[1])


def _places(parameters: str) -> list[tuple[int, int, int]] | None:
    """Row, column and channel fold of every beat of a frame, as the module's head defines them;
    None where no window fits."""
    n = {m[1]: int(m[2]) for m in PARAMETER.finditer(parameters)}
    if min(n[key] for key in _SIZES) < 1:
        return None
    rows, columns = n["H"] - n["DH"] * (n["KH"] - 1), n["W"] - n["DW"] * (n["KW"] - 1)
    kernel = [
        (row, column, fold)
        for row in range(n["KH"])
        for column in range(n["KW"])
        for fold in range(n["CF"])
    ]
    if n["DEPTHWISE"]:
        kernel.sort(key=lambda place: place[2])  # stable: rows and columns stay in order
    return [
        (top + n["DH"] * row, left + n["DW"] * column, fold)
        for top in range(0, rows, n["SH"])
        for left in range(0, columns, n["SW"])
        for row, column, fold in kernel
    ]

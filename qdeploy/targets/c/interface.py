"""`network_io.c` and `.h`: raw values to input codes, and logits to classes.

The class is that of the largest exact logit, gain · n + offset. Where channels have gains or
offsets of their own, all are brought to one denominator D, so that comparing A·n + B, integers of
64 bits, compares the logits; where 64 bits do not hold them there is no function for it.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm, prod

import numpy as np
import numpy.typing as npt

from qdeploy.codegen.c.elements import Element, sizes_of
from qdeploy.codegen.c.text import array, wide
from qdeploy.errors import InternalError
from qdeploy.ir.input_codes import InputPreparation
from qdeploy.ir.integer_graph import ArgMax, IntegerGraph
from qdeploy.ir.layout import to_stream_order
from qdeploy.targets.c.real_input import Loop, declared, prepare_real, takes_real
from qdeploy.targets.package_input import PackageInput
from qdeploy.targets.template import filled

_MOST = 1 << 62


def interface_files(
    graph: IntegerGraph, source: PackageInput, prefix: str, classes: tuple[str, ...]
) -> dict[str, str]:
    """Name -> text of the two files."""
    raw = raw_element(source)
    height, width, channels = sizes_of(graph.tensors[graph.logits])
    single, parts = _parts(graph, channels)
    classify = _classify(graph, prefix, height * width, parts)
    fields: dict[str, object] = {
        "prefix": prefix,
        "upper": prefix.upper(),
        "raw_type": raw.c_type,
        "raw_lo": source.raw_range[0],
        "raw_hi": source.raw_range[1],
        "raw_size": prod(source.preparation.shape),
        "raw_shape": ", ".join(str(size) for size in source.preparation.shape),
        "prepare": _prepare(graph, source, prefix, raw),
        "prepare_real": _prepare_real(graph, source, prefix),
        "real_declared": declared(source.preparation, prefix) if has_real(graph, source) else "",
        "classify": classify or "",
        "classes": height * width * len(parts),
        "class_count": channels if single else max(size for _, size in parts),
        "names": _names(prefix, classes),
        "names_declared": f"extern const char *const {prefix}_class_names[{len(classes)}];",
        "classify_declared": ""
        if classify is None
        else f"void {prefix}_classify(const int32_t *logits, int32_t *classes);",
        "classify_note": "The logits' order needs more than 64 bits: there is no classify."
        if classify is None
        else "The class of each output of each pixel, the lowest index on a tie.",
    }
    return {
        "network_io.c": filled("export/c/network_io.c.in", fields),
        "network_io.h": filled("export/c/network_io.h.in", fields),
    }


def raw_element(source: PackageInput) -> Element:
    """The type of a raw value."""
    element = Element.holding(*source.raw_range)
    if element is None:
        raise InternalError("raw values do not fit 32 bits")
    return element


def _parts(graph: IntegerGraph, channels: int) -> tuple[bool, list[tuple[int, int]]]:
    """First channel and number of channels of each output."""
    if not graph.head.parts:
        return True, [(0, channels)]
    found, first = [], 0
    for part in graph.head.parts:
        found.append((first, part.channels))
        first += part.channels
    return False, found


def _names(prefix: str, classes: tuple[str, ...]) -> str:
    # Bytes outside ASCII as octal escapes: a string of C is bytes, here of UTF-8.
    quoted = [
        '"'
        + "".join(
            chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
            for byte in name.encode()
        )
        + '"'
        for name in classes
    ]
    return array("char *const", f"{prefix}_class_names", quoted)


def has_real(graph: IntegerGraph, source: PackageInput) -> bool:
    """Whether the network takes real values, for which there is a function."""
    return takes_real(source.preparation, graph.preparation is not None)


def _in_memory(
    graph: IntegerGraph, found: InputPreparation, values: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """A frame's values, one for each element, as its codes lie in memory."""
    arranged = found.arrange(values.reshape(1, *found.shape))
    sizes = sizes_of(graph.tensors[graph.input])
    return np.ascontiguousarray(to_stream_order(arranged, frames=True)).reshape(sizes)


def _row_of(graph: IntegerGraph, found: InputPreparation, rows: int, name: str) -> tuple[str, str]:
    """The row of each element in a table with one for each of `rows`."""
    if rows == 1:
        return "", "0"
    assert found.axis is not None
    shape = [1] * len(found.shape)
    shape[found.axis] = rows
    axis = np.broadcast_to(np.arange(rows).reshape(shape), found.shape)
    return _rows(_in_memory(graph, found, np.ascontiguousarray(axis).astype(np.int64)), name)


def _prepare_real(graph: IntegerGraph, source: PackageInput, prefix: str) -> str:
    found = source.preparation
    if not has_real(graph, source):
        return ""
    order = _in_memory(graph, found, np.arange(prod(found.shape)))
    places, at = _place(order, "real_places")
    table, row = _row_of(graph, found, len(found.thresholds), "real_rows")
    height, width, channels = order.shape
    return prepare_real(found, prefix, Loop(places + table, (height, width, channels), at, row))


def _prepare(graph: IntegerGraph, source: PackageInput, prefix: str, raw: Element) -> str:
    found = source.preparation
    order = _in_memory(graph, found, np.arange(prod(found.shape)))
    before, at = _place(order, "places")
    low, high = source.raw_range
    if source.shift:
        code = f"clamped(v >> {source.shift}, {found.lo}, {found.hi})"
    elif found.raw is None or found.takes_codes:
        code = "v"
    else:
        rows = len(found.table)
        element = Element.holding(found.lo, found.hi)
        assert element is not None
        values = [str(value) for value in found.table.reshape(-1).tolist()]
        before += "static " + array(element.c_type, "codes", values)
        table, row = _row_of(graph, found, rows, "rows")
        before += table
        code = f"codes[{row} * {found.table.shape[1]} + v - ({low})]"
    target = f"({prefix}_input_t)({code})"
    return filled(
        "export/c/prepare.c.in",
        {
            "before": before,
            "prefix": prefix,
            "raw_type": raw.c_type,
            "height": order.shape[0],
            "width": order.shape[1],
            "channels": order.shape[2],
            "at": at,
            "low": low,
            "high": high,
            "code": target,
        },
    )


def _place(order: npt.NDArray[np.int64], name: str) -> tuple[str, str]:
    """Tables and the expression of a raw value's place for y, x, c and the running index i."""
    steps = [
        int(np.take(order, 1, axis=axis).flat[0]) if order.shape[axis] > 1 else 0
        for axis in range(3)
    ]
    grids = np.indices(order.shape)
    if np.array_equal(order, sum(step * grid for step, grid in zip(steps, grids, strict=True))):
        terms = [f"{step} * {name}" for step, name in zip(steps, "yxc", strict=True)]
        return "", " + ".join(terms)
    values = [str(value) for value in order.reshape(-1).tolist()]
    return "static " + array("int32_t", name, values), f"{name}[i]"


def _rows(rows: npt.NDArray[np.int64], name: str) -> tuple[str, str]:
    if (rows == rows[0, 0]).all():
        values = [str(value) for value in rows[0, 0].tolist()]
        return "static " + array("uint16_t", name, values), f"(int32_t){name}[c]"
    values = [str(value) for value in rows.reshape(-1).tolist()]
    return "static " + array("uint16_t", name, values), f"(int32_t){name}[i]"


def _classify(
    graph: IntegerGraph, prefix: str, pixels: int, parts: list[tuple[int, int]]
) -> str | None:
    """The function, None where 64 bits do not hold what it compares."""
    if isinstance(graph.producer(graph.output), ArgMax):
        loop = f"    for (int32_t i = 0; i < {pixels}; i++) {{"
        return _function(prefix, "", f"{loop}\n        classes[i] = logits[i];\n    }}")
    head, tensor = graph.head, graph.tensors[graph.logits]
    channels = sizes_of(tensor)[2]
    before, value = "", "(int64_t)logits[at + c]"
    if head.scale is None or head.scale <= 0:
        pairs = [head.of(channel) for channel in range(channels)]
        common = lcm(*(part.denominator for pair in pairs for part in pair))
        gains, offsets = ([_whole(pair[k], common) for pair in pairs] for k in (0, 1))
        largest = max(abs(tensor.lo), abs(tensor.hi))
        if any(abs(a) * largest + abs(b) > _MOST for a, b in zip(gains, offsets, strict=True)):
            return None
        before = "static " + array("int64_t", "gains", [wide(value) for value in gains])
        before += "static " + array("int64_t", "offsets", [wide(value) for value in offsets])
        value = f"gains[c] * {value} + offsets[c]"
    lines = [
        f"    for (int32_t i = 0; i < {pixels}; i++) {{",
        f"        const int32_t at = i * {channels};",
    ]
    for number, (first, size) in enumerate(parts):
        result = f"classes[i * {len(parts)} + {number}]"
        lines += [
            "        {",
            "            int64_t best = INT64_MIN;",
            f"            {result} = 0;",
            f"            for (int32_t c = {first}; c < {first + size}; c++) {{",
            f"                const int64_t v = {value};",
            "                if (v > best) {",
            "                    best = v;",
            f"                    {result} = c - {first};",
            "                }",
            "            }",
            "        }",
        ]
    return _function(prefix, before, "\n".join([*lines, "    }"]))


def _whole(value: Fraction, common: int) -> int:
    return int(value * common)


def _function(prefix: str, before: str, body: str) -> str:
    head = f"void {prefix}_classify(const int32_t *logits, int32_t *classes) {{"
    return f"{before}\n{head}\n{body}\n}}\n"

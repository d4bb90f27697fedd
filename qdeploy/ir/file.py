"""The integer graph as a file: one safetensors file that is safe to read.

    arrays     `<node>.weights`, `.bias`, `.thresholds`, and `preparation`, the thresholds of the
               input by `order_of`; each in the narrowest of int8 … int64
    metadata   one entry: {"version", "sha256", "graph"}, the graph as in `structure.py`

The same graph gives the same bytes. The hash covers structure and arrays, so a file that was
changed in any way is refused. Reading goes from small to large: the size of the file, its header
(length, JSON, the shapes and types of all arrays), the structure against the rules of a graph with
arrays of the declared shapes that take no memory; only then are the arrays themselves read.
"""

from __future__ import annotations

import hashlib
import json
import os
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from qdeploy.artifacts import atomic_path
from qdeploy.errors import PassError, UserError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.json_data import FormatError
from qdeploy.ir.rules import check_graph, check_structure
from qdeploy.ir.structure import arrays_of, from_structure, to_structure

VERSION = 1
METADATA_KEY = "qdeploy.integer_graph"
MAX_FILE_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 22
MAX_ELEMENTS = 1 << 27  # of all arrays: 1 GiB as int64
MAX_AXES = 4
_LENGTH_BYTES = 8
_TYPES: dict[str, type[np.signedinteger[Any]]] = {
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
    "I64": np.int64,
}


def write_graph(graph: IntegerGraph, path: Path) -> None:
    """Write a graph to `path`, atomically; the same graph gives the same bytes.

    Raises:
        PassError: the graph breaks its own rules.
        UserError: the graph is larger than `read_graph` takes.
    """
    check_graph(graph)
    arrays = {
        name: np.ascontiguousarray(_narrow(array)) for name, array in arrays_of(graph).items()
    }
    structure = to_structure(graph)
    envelope = {"version": VERSION, "sha256": _digest(structure, arrays), "graph": structure}
    # One entry: the package writes several in an order of its own.
    data = save(arrays, metadata={METADATA_KEY: _dump(envelope)})
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    try:
        if len(data) > MAX_FILE_BYTES or length > MAX_HEADER_BYTES:
            raise FormatError(
                f"it would take {len(data)} bytes, {length} of them for its structure"
            )
        _check_header(_header(data[_LENGTH_BYTES:][:length]), len(data) - _LENGTH_BYTES - length)
    except ValueError as error:
        raise UserError(
            f"the integer graph `{graph.name}` is not one that a file holds",
            where=str(path),
            why=str(error),
        ) from error
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def read_graph(path: Path) -> IntegerGraph:
    """The graph that `write_graph` wrote to `path`.

    Raises:
        UserError: the file is missing, damaged, of another version, or no integer graph; nothing
            large was allocated for what the file only declares.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        _refuse(path, error.strerror or str(error), error)
    except PassError as error:
        _refuse(path, f"{error.what} ({error.where})" if error.where else error.what, error)
    except (ValueError, SafetensorError) as error:
        _refuse(path, str(error), error)
    except RecursionError as error:
        _refuse(path, "its header is nested too deeply", error)


def _refuse(path: Path, why: str, error: Exception) -> NoReturn:
    raise UserError(
        f"the integer graph `{path.name}` cannot be read",
        where=str(path),
        why=why,
        do="run `qdeploy export` again",
    ) from error


def _read(file: BinaryIO) -> IntegerGraph:
    size = os.fstat(file.fileno()).st_size
    if not _LENGTH_BYTES <= size <= MAX_FILE_BYTES:
        raise FormatError(f"it has {size} bytes, not {_LENGTH_BYTES} to {MAX_FILE_BYTES}")
    start = file.read(_LENGTH_BYTES)
    length, room = int.from_bytes(start, "little"), size - _LENGTH_BYTES
    if length > min(MAX_HEADER_BYTES, room):
        raise FormatError(f"its header has {length} bytes, the file {room}")
    raw = file.read(length)
    envelope = _check_header(_header(raw), room - length)
    # One byte more than there should be shows a file that grew meanwhile.
    arrays = load(start + raw + file.read(room - length + 1))
    if _digest(envelope["graph"], arrays) != envelope["sha256"]:
        raise FormatError("its content does not have the hash written in it: the file was changed")
    wide = {name: array.astype(np.int64) for name, array in arrays.items()}
    graph = from_structure(envelope["graph"], wide)
    check_graph(graph)
    return graph


def _header(raw: bytes) -> dict[str, Any]:
    """The header's JSON.

    Raises:
        ValueError: it is not a JSON object.
    """
    header = _parse(raw.decode("utf-8"))
    if not isinstance(header, dict):
        raise FormatError("its header is not a JSON object")
    return header


def _check_header(header: dict[str, Any], data_bytes: int) -> dict[str, Any]:
    """Check everything a header declares; returns the envelope in its metadata.

    Args:
        header: as in the file; its metadata is taken out.
        data_bytes: size of the arrays in the file.

    Raises:
        ValueError, PassError: says what is wrong.
    """
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or list(metadata) != [METADATA_KEY]:
        raise FormatError("it holds no integer graph")
    if not isinstance(metadata[METADATA_KEY], str):
        raise FormatError("its metadata is not text")
    envelope = _parse(metadata[METADATA_KEY])
    version = envelope.get("version") if isinstance(envelope, dict) else None
    if type(version) is not int or version != VERSION:
        raise FormatError(f"its format has version {version!r:.40}, not {VERSION}")
    if set(envelope) != {"version", "sha256", "graph"}:
        raise FormatError("its metadata has other entries than version, sha256 and graph")
    shapes = {name: _declared_shape(name, entry) for name, entry in header.items()}
    elements = sum(prod(shape) for shape, _ in shapes.values())
    if elements > MAX_ELEMENTS:
        raise FormatError(f"its arrays have {elements} elements, more than {MAX_ELEMENTS}")
    declared = sum(count for _, count in shapes.values())
    if declared != data_bytes:
        raise FormatError(f"its arrays take {declared} bytes, and {data_bytes} are there")
    # Arrays of stride 0: any shape, no memory.
    hollow: dict[str, IntArray] = {
        name: np.broadcast_to(np.int64(0), shape) for name, (shape, _) in shapes.items()
    }
    check_structure(from_structure(envelope["graph"], hollow))
    return envelope


def _declared_shape(name: str, entry: Any) -> tuple[tuple[int, ...], int]:
    """Shape and bytes of an array as its entry in the header says."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"array `{name:.100}`: not a dtype, a shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _TYPES:
        raise FormatError(
            f"array `{name:.100}`: its type is {dtype!r:.40}, not {', '.join(_TYPES)}"
        )
    for numbers, most in ((shape, MAX_ELEMENTS), (offsets, MAX_FILE_BYTES)):
        plain = isinstance(numbers, list) and len(numbers) <= MAX_AXES
        if not plain or any(type(n) is not int or not 0 <= n <= most for n in numbers):
            raise FormatError(f"array `{name:.100}`: its sizes or offsets are out of range")
    count = prod(shape) * np.dtype(_TYPES[dtype]).itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != count:
        raise FormatError(f"array `{name:.100}`: {shape} of {dtype} does not fill its offsets")
    return tuple(shape), count


def _narrow(array: IntArray) -> np.ndarray:
    """The same integers in the narrowest type that holds them."""
    lo, hi = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for kind in _TYPES.values():
        if np.iinfo(kind).min <= lo and hi <= np.iinfo(kind).max:
            return array.astype(kind)
    raise PassError(f"integers from {lo} to {hi} do not fit 64 bits")


def _digest(structure: Any, arrays: dict[str, np.ndarray]) -> str:
    """Hex SHA-256 of a structure and its arrays."""
    digest = hashlib.sha256(_dump(structure).encode("utf-8"))
    for name, array in sorted(arrays.items()):
        digest.update(_dump([name, array.dtype.str, list(array.shape)]).encode("utf-8"))
        digest.update(array.tobytes())
    return digest.hexdigest()


def _dump(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _parse(text: str) -> Any:
    """Strict JSON: no key twice, no NaN or infinity."""
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise FormatError("a key of its JSON is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise FormatError(f"its JSON holds {name}")

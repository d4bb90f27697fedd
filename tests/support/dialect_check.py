"""A file of `dialects.py` through the door: against its own engine, exact arithmetic and RTL."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
from exact_interpreter import exact_logits, logits_of_output
from exact_numbers import NotInterpretedError
from written_files import by_onnxruntime, official

from qdeploy.errors import UnsupportedLayerError
from qdeploy.ir.integer_graph import IntArray, IntegerGraph
from qdeploy.ir.raw_type import parse_raw_type
from qdeploy.ir.reference import run_reference
from qdeploy.lowering.canonical.executor import foreign_tools
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.lower import lower_model


@dataclass(frozen=True)
class Found:
    """What became of a file that was taken.

    Args:
        logits: compared, over all frames.
        engine: of those, the ones that the file's own engine puts elsewhere although exact
            arithmetic on the file does not agree with it; None where the engine cannot run it.
        ties: the ones that it puts elsewhere and exact arithmetic does not.
        exact: the ones that exact arithmetic on the file gives another value; None without a rule.
        classes: frames or pixels of which exact arithmetic gives another class.
        note: why something was not compared.
    """

    graph: IntegerGraph
    codes: IntArray
    logits: int
    engine: int | None
    ties: int
    exact: int | None
    classes: int
    note: str


def lowered(path: Path, raw: str | None) -> IntegerGraph:
    """The integer graph of a file, `raw` as of `--input`."""
    told = parse_raw_type(raw) if raw else None
    return lower_model(canonical(path, raw=told)).graph


def check(
    path: Path, raw: str | None = None, frames: int = 4, seed: int = 1, *, large: bool = False
) -> Found:
    """Lower a file and compare its integer graph with the file itself.

    Args:
        large: leave exact arithmetic out.

    Raises:
        QDeployError: it is refused.
    """
    graph = lowered(path, raw)
    source = graph.tensors[graph.input]
    shape = (frames, *graph.prepared.shape)
    codes = np.random.default_rng(seed).integers(source.lo, source.hi + 1, shape)
    codes = graph.prepared.arrange(graph.prepared.nearest_reachable(codes))
    real = graph.prepared.real(codes)
    integers = run_reference(graph, codes, accumulators=True)[graph.logits]
    mine = np.array(_fractions(graph, integers), dtype=object).reshape(integers.shape)
    parts = _parts(graph, integers.shape)
    notes: list[str] = []
    wrong = classes = None
    try:
        if large:
            raise NotInterpretedError("too large a network")
        theirs = np.concatenate([_exact(path, real, name, form) for name, form in parts], axis=1)
        wrong = mine != theirs
        best = [theirs[:, where].argmax(axis=1) for where in graph.head.slices()]
        chosen = np.stack(best, axis=1) if graph.head.parts else best[0]
        classes = int((chosen != graph.head.classes(integers)).sum())
    except NotInterpretedError as error:
        notes.append(f"exact interpreter: {error}")
    engine, ties = None, 0
    results = [_engine(path, real, notes, name, form) for name, form in parts]
    there = [one for one in results if one is not None]
    if len(there) == len(results):
        size = np.abs(mine.astype(np.float64)).max() + 1e-6
        apart = np.abs(np.concatenate(there, axis=1) - mine.astype(np.float64)) > 1e-4 * size
        ties = 0 if wrong is None else int((apart & ~wrong).sum())
        engine = int(apart.sum()) - ties
    return Found(
        graph,
        codes,
        integers.size,
        engine,
        ties,
        None if wrong is None else int(wrong.sum()),
        classes or 0,
        "; ".join(notes),
    )


def _fractions(graph: IntegerGraph, integers: IntArray) -> list[Fraction]:
    """The exact logits that the head says, in the order of the integers."""
    channels = np.broadcast_to(
        np.arange(integers.shape[1]).reshape(-1, *([1] * (integers.ndim - 2))), integers.shape
    )
    maps = [graph.head.of(channel) for channel in range(integers.shape[1])]
    pairs = zip(channels.reshape(-1), integers.reshape(-1), strict=True)
    return [maps[int(c)][0] * int(n) + maps[int(c)][1] for c, n in pairs]


def _channels_first(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A file's result with its channels, which may be the last axis, in front."""
    last = values.ndim > 2 and values.shape[-1] == shape[1] != values.shape[1]
    return np.moveaxis(values, -1, 1) if last else values


def _parts(graph: IntegerGraph, shape: tuple[int, ...]) -> list[tuple[str | None, tuple[int, ...]]]:
    """The outputs that are in the logits of a shape: None for the file's only one, and shapes."""
    if not graph.head.parts:
        return [(None, shape)]
    return [(name, (shape[0], size, *shape[2:])) for name, size in graph.head.parts]


def _exact(path: Path, frames: np.ndarray, name: str | None, shape: tuple[int, ...]) -> np.ndarray:
    """An output by exact arithmetic, as fractions."""
    exact = exact_logits(path, frames, name)
    values = np.array(exact.fractions(), dtype=object).reshape(exact.shape)
    return _channels_first(values, shape).reshape(shape)


def _engine(
    path: Path, frames: np.ndarray, notes: list[str], output: str | None, shape: tuple[int, ...]
) -> np.ndarray | None:
    """An output by qonnx's executor, or by onnxruntime for a file of standard operators."""
    model = onnx.load(path)
    makers = {name: node for node in model.graph.node for name in node.output}
    name = output or logits_of_output(makers, model.graph.output[0].name)
    for item in [item for item in model.graph.value_info if item.name == name]:
        model.graph.value_info.remove(item)
    del model.graph.output[1:]
    model.graph.output[0].name = name
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    model.graph.output[0].type.tensor_type.ClearField("shape")
    whole = model.graph.input[0].type.tensor_type.elem_type
    frames = frames.astype(onnx.helper.tensor_dtype_to_np_dtype(whole))
    try:
        with foreign_tools("the file as it is"):
            if any(node.domain not in ("", "com.microsoft") for node in model.graph.node):
                found = official(model, frames, name)
            else:
                found = by_onnxruntime(model, frames)
    except UnsupportedLayerError as error:
        notes.append(f"its engine: {error.why}")
        return None
    return _channels_first(found, shape).reshape(shape)

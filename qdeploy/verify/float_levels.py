"""The float levels against the integer graph: codes at every boundary, logits and classes.

Torch and the qonnx executor compute in float32; where a value lies within float rounding of the
edge between two codes they may give the other code. Exact arithmetic on the file decides who is
right (`judge.py`): not the number of differences counts, but that each one is a tie.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qdeploy.build_folder import QONNX_FILE
from qdeploy.errors import InternalError, VerificationError
from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import ArgMax, IntArray, IntegerGraph, Tensor, Threshold
from qdeploy.ir.reference import evaluate
from qdeploy.lowering.canonical.executor import Executor
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower_model
from qdeploy.supervised import in_parallel
from qdeploy.verify.compare import Mismatch, compare, first_difference
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.judge import Verdict, judge
from qdeploy.verify.narrow import Narrow, code_type, joined, narrow
from qdeploy.verify.results import RungResult

# Differing codes listed one by one in verify.json.
LISTED = 1000
# Frames of a pass of the official executor, which keeps every tensor until its end.
_AT_ONCE = 100
# Values that are rounded to integers at a time.
_CACHED = 1 << 15


@dataclass(frozen=True)
class FloatLevel:
    """What an engine that computes in float gives for a batch of frames.

    Args:
        codes: at every boundary; the logits rounded to the integers they stand for. In the types of
            `code_type` where they fit.
        logits: as they come, None where the engine gives none.
    """

    codes: dict[str, Narrow]
    logits: npt.NDArray[np.floating] | None


def qonnx_level(path: Path, graph: IntegerGraph, codes: IntArray) -> FloatLevel:
    """A QONNX file in the official executor.

    Args:
        path: the file the graph was lowered from.
        graph: its integer graph.
        codes: input codes (N, *shape).
    """
    model = canonical(path, probe=False)
    lowered, execute = lower_model(model), Executor(model)
    of_input = lowered.sources[graph.input] == model.graph.input[0].name

    def executed(part: IntArray) -> FloatLevel:
        return _executed(execute, lowered, graph, part, of_input=of_input)

    return in_passes(executed, codes, _AT_ONCE)


def _executed(
    execute: Executor, lowered: Lowered, graph: IntegerGraph, codes: IntArray, *, of_input: bool
) -> FloatLevel:
    sources = lowered.sources
    context = execute(real_frames(graph, codes))
    source = sources[graph.input]
    own = graph.prepared.restore(codes) if of_input else codes
    _check_input(graph, context[source], own)
    found = {
        name: context[sources[name]]
        for name in graph.boundaries()
        if name in sources and not isinstance(graph.producer(name), ArgMax)
    }
    return float_level(graph, found, codes, lowered.maps)


def in_passes(
    level: Callable[[IntArray], FloatLevel],
    codes: IntArray,
    at_once: int,
    threads: int | None = None,
) -> FloatLevel:
    """A level some frames at a time, which takes less memory and so less time.

    Args:
        level: of some frames.
        codes: input codes (N, *shape).
        at_once: frames of a pass.
        threads: passes at one time; one for each core when None.
    """
    parts = [codes[first : first + at_once] for first in range(0, len(codes), at_once)]
    if len(parts) < 2:
        return level(codes)
    with in_parallel(level, parts, threads or len(os.sched_getaffinity(0))) as results:
        found = list(results)
    logits = [one.logits for one in found if one.logits is not None]
    return FloatLevel(
        joined([one.codes for one in found]), np.concatenate(logits) if logits else None
    )


def real_frames(graph: IntegerGraph, codes: IntArray) -> npt.NDArray[np.float32]:
    """Frames as the file takes them, (N, *shape in the file), that have these codes.

    Args:
        codes: input codes (N, *shape).

    Raises:
        InternalError: no frame has them, or the integers have no meaning.
    """
    scale_of(graph.tensors[graph.input])
    try:
        return graph.prepared.real(np.asarray(codes))
    except ValueError as error:
        raise InternalError("no frame of the file has the input codes", why=str(error)) from error


def _check_input(graph: IntegerGraph, values: npt.NDArray[np.floating], codes: IntArray) -> None:
    """That the file itself gives the real frames the codes they were made for.

    Args:
        values: of the file's tensor that stands for the graph's input.
        codes: in the order of its elements.

    Raises:
        VerificationError: it gives others.
    """
    scale = scale_of(graph.tensors[graph.input])
    found = np.rint(values.astype(np.float64) / scale).astype(np.int64).reshape(-1)
    wrong = int((found != np.asarray(codes).reshape(-1)).sum())
    if wrong:
        raise VerificationError(
            f"{wrong} of {found.size} input codes are not those that the file gives",
            where=f"tensor `{graph.input}`",
            why="a frame and its codes have to be the same input",
            do="keep the build folder: the input's preparation is wrong",
        )


def float_result(
    name: str, inputs: LadderInputs, reference: Reference, level: FloatLevel
) -> RungResult:
    """The result of a level that computes in float; exact arithmetic decides where it differs.

    Args:
        name: of the rung.
        reference: codes at every boundary; `level` may have fewer frames.
    """
    graph, actual = inputs.graph, dict(level.codes)
    argmax = isinstance(graph.producer(graph.output), ArgMax)
    count = len(next(iter(actual.values())))
    expected = {key: codes[:count] for key, codes in reference.items()}
    # What is computed with, and not only compared.
    expected[graph.logits] = expected[graph.logits].astype(np.int64)
    actual[graph.logits] = actual[graph.logits].astype(np.int64)
    # The ties of the integer graph to the file are no part of it: lowering finds them.
    model = canonical(inputs.folder / QONNX_FILE, probe=False)
    lowered = lower_model(model, argmax=argmax)
    verdict = judge(lowered, model, inputs.frames[:count], expected, actual, level.logits)
    if verdict.logits is not None:
        actual[graph.logits] = verdict.logits
    total = compare(graph.boundaries(), expected, actual)
    flips = 0
    if level.logits is not None:
        flips = _other_classes(graph, expected[graph.logits], level.logits)
    return RungResult(
        name,
        frames=total.frames,
        boundaries=total.boundaries,
        codes=total.codes,
        mismatches=total.mismatches,
        origins=len(verdict.differences),
        wrong=verdict.wrong,
        must_be_exact=all_scales_are_powers_of_two(graph),
        class_mismatches=flips,
        note=_sentence(verdict, total.first),
        details={**_details(verdict), **first_difference(total.first)},
    )


def _other_classes(graph: IntegerGraph, integers: Narrow, logits: npt.NDArray[np.floating]) -> int:
    """Frames, or pixels, whose class is another one than that of the exact logits."""
    values = graph.head.values(integers)
    found = logits.reshape(values.shape)
    exact = graph.head.classes(integers)
    if not graph.head.parts:
        exact = np.expand_dims(exact, 1)
    wrong = np.zeros(np.delete(values.shape, 1), dtype=bool)
    for number, where in enumerate(graph.head.slices()):
        own = values[:, where]
        chosen = found[:, where].argmax(axis=1, keepdims=True)
        picked = (
            np.take_along_axis(own, one, 1) for one in (chosen, exact[:, number : number + 1])
        )
        mine, best = picked
        wrong |= (mine < best)[:, 0]
    return int(wrong.sum())


def _sentence(verdict: Verdict, first: Mismatch | None) -> str:
    """For people: ties and how far they are, or the first code that is wrong."""
    if verdict.wrong:
        wrong = next((one for one in verdict.differences if not one.is_tie), None)
        if wrong is not None:
            judged = "agrees" if wrong.exact_agrees else "does not agree"
            return (
                f"`{wrong.boundary}` at {wrong.index}: {wrong.found} instead of {wrong.expected}, "
                f"and exact arithmetic {judged} with the integers"
            )
        return f"{verdict.wrong_logits:,} logits are further off than float32 arithmetic can be"
    ties = verdict.ties
    if ties:
        furthest = max(one.distance or 0.0 for one in ties)
        return (
            f"{len(ties):,} ties, at most {furthest:.2g} steps from an edge between two codes: "
            "exact arithmetic agrees with the integers, float32 rounds the other way"
        )
    return first.sentence() if first else ""


def _details(verdict: Verdict) -> dict[str, Any]:
    """As `verify.json` holds it; distances and bounds in steps of the output code."""
    details: dict[str, Any] = {}
    if verdict.differences:
        ties = verdict.ties
        details = {
            "judge": "exact arithmetic on the file, from the engine's own codes before each layer",
            "ties": len(ties),
            "furthest_tie_lsb": max((one.distance or 0.0 for one in ties), default=0.0),
            "differences": [
                {
                    "boundary": one.boundary,
                    "index": list(one.index),
                    "expected": one.expected,
                    "found": one.found,
                    "distance_lsb": one.distance,
                    "bound_lsb": one.bound,
                    "exact_agrees": one.exact_agrees,
                }
                for one in sorted(verdict.differences, key=lambda one: one.is_tie)[:LISTED]
            ],
        }
    if verdict.logits is not None:
        details["worst_logit_of_bound"] = verdict.worst_logit
    return details


def all_scales_are_powers_of_two(graph: IntegerGraph) -> bool:
    """Whether the codes at every boundary, logits included, have power-of-two scales."""
    scales = [graph.tensors[name].scale for name in (graph.input, *graph.boundaries())]
    return all(scale is None or _power_of_two(scale) for scale in scales)


def _power_of_two(scale: Fraction) -> bool:
    """2^e as a fraction has one of its two numbers 1, the other with a single bit."""
    return scale > 0 and (scale.numerator * scale.denominator).bit_count() == 1


def float_level(
    graph: IntegerGraph,
    values: Mapping[str, np.ndarray],
    codes: IntArray,
    maps: Mapping[str, Head] | None = None,
) -> FloatLevel:
    """Integers at every boundary of float values; what has no value or no scale is computed.

    Args:
        values: boundary -> float values.
        codes: input codes (N, *shape).
        maps: boundary -> what its integers mean, where that is more than the tensor's scale.
    """
    result: dict[str, Narrow] = {graph.input: np.asarray(codes).astype(np.int64)}

    def computed(name: str) -> Narrow:
        if name not in result:
            node = graph.producer(name)
            if node is None:
                raise InternalError(f"nothing makes {name}")
            result[name] = evaluate(node, *(computed(item) for item in node.inputs))
        return result[name]

    for name in graph.boundaries():
        tensor = graph.tensors[name]
        if name in values and name == graph.logits:
            result[name] = _integers(graph.head, values[name], tensor)
        elif name in values and name in (maps or {}):
            result[name] = _integers((maps or {})[name], values[name], tensor)
        elif name in values and tensor.scale is not None:
            result[name] = _integers(Head((tensor.scale,)), values[name], tensor)
        elif isinstance(graph.producer(name), Threshold) and maps is None:
            raise InternalError(f"no module or tensor gives the codes of {name}")
        else:
            computed(name)
    logits = values.get(graph.logits)
    return FloatLevel(
        {name: narrow(result[name], code_type(graph.tensors[name])) for name in graph.boundaries()},
        None if logits is None else logits.reshape(-1, *graph.tensors[graph.logits].shape),
    )


def _integers(head: Head, values: np.ndarray, tensor: Tensor) -> Narrow:
    """The integers nearest to what float values stand for, (N, *shape of the tensor).

    Args:
        values: (N, …); what is averaged over all pixels keeps axes of one pixel in the file.
    """
    values = values.reshape(-1, *tensor.shape)
    shape = [1, -1, *([1] * (values.ndim - 2))]
    gain, offset = (
        np.array([float(value) for value in part]).reshape(shape)
        for part in (head.gain, head.offset)
    )
    divisor, kind = np.where(gain == 0, 1, gain), code_type(tensor)
    parts = []
    # So many at a time as stay in a processor's cache.
    each = max(1, _CACHED // max(1, tensor.size))
    for first in range(0, max(1, len(values)), each):
        steps = values[first : first + each].astype(np.float64)
        if offset.any():
            steps -= offset
        steps /= divisor
        np.rint(steps, out=steps)
        parts.append(narrow(steps.astype(np.int64), kind))
    return np.concatenate(parts)


def scale_of(tensor: Tensor) -> float:
    """The value of one step of a tensor's codes.

    Raises:
        InternalError: its channels have different scales.
    """
    if tensor.scale is None:
        raise InternalError(f"{tensor.name} has no scale")
    return float(tensor.scale)

"""The float levels against the integer graph: codes at every boundary, and their distance to a tie.

Torch and the qonnx executor compute in float32; where a value lies within float rounding of the
edge between two codes they may give the other code. `differences` finds each differing code and its
exact distance from the edge, in steps of the output code. A code that differs because an input of
its frame differed already is marked as inherited: its distance would say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.build_folder import QONNX_FILE
from qdeploy.errors import InternalError
from qdeploy.ir.integer_graph import ArgMax, IntArray, IntegerGraph, Tensor, Threshold
from qdeploy.ir.reference import evaluate, run_reference
from qdeploy.lowering.canonical.executor import execute
from qdeploy.lowering.canonical.import_qonnx import canonical
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.lowering.integers.lower import lower_model, lower_with_affine
from qdeploy.lowering.integers.thresholds import tie_distance
from qdeploy.verify.compare import class_mismatches, compare
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult

# Differing codes listed one by one in verify.json.
LISTED = 1000


@dataclass(frozen=True)
class Difference:
    """One code that differs.

    Args:
        boundary: the tensor's name.
        index: (frame, channel, ...) in the tensor.
        expected, found: codes of the integer graph and of the other level.
        distance: exact distance of the value from the nearest edge, in output codes; None where
            there is no edge (logits) or the difference is inherited.
        inherited: an earlier boundary of the same frame differs already.
    """

    boundary: str
    index: tuple[int, ...]
    expected: int
    found: int
    distance: Fraction | None
    inherited: bool


def qonnx_codes(path: Path, graph: IntegerGraph, codes: IntArray) -> dict[str, IntArray]:
    """Codes at every boundary of a QONNX file in the official executor.

    Args:
        path: the file the graph was lowered from.
        graph: its integer graph.
        codes: input codes (N, *shape).
    """
    model = canonical(path, probe=False)
    sources = lower_model(model).sources
    frames = np.asarray(codes).astype(np.float32) * np.float32(scale_of(graph.tensors[graph.input]))
    context = execute(model, frames)
    found = {
        name: context[sources[name]]
        for name in graph.boundaries()
        if not isinstance(graph.producer(name), ArgMax)
    }
    return codes_at_boundaries(graph, found, codes)


def differences(
    lowered: Lowered,
    codes: IntArray,
    found: Mapping[str, IntArray],
    expected: Mapping[str, IntArray] | None = None,
) -> list[Difference]:
    """Every code of another level that differs from the integer graph.

    Args:
        lowered: the integer graph with its exact maps.
        codes: input codes (N, *shape).
        found: the other level's codes by boundary.
        expected: the integer graph's, computed by the reference when None.
    """
    graph = lowered.graph
    expected = run_reference(graph, codes) if expected is None else expected
    result: list[Difference] = []
    tainted: set[int] = set()
    for name in graph.boundaries():
        if name not in found:
            continue
        places = np.argwhere(found[name] != expected[name])
        for place in places:
            index = tuple(int(i) for i in place)
            inherited = index[0] in tainted
            distance = None
            if not inherited and name in lowered.affine:
                distance = threshold_distance(lowered, name, codes, index)
            result.append(
                Difference(
                    name,
                    index,
                    int(expected[name][index]),
                    int(found[name][index]),
                    distance,
                    inherited,
                )
            )
        tainted |= {int(place[0]) for place in places}
    return result


def float_result(
    name: str, inputs: LadderInputs, reference: Reference, actual: Reference
) -> RungResult:
    """The result of a level that computes in float: every differing code with its distance.

    Args:
        name: of the rung.
        reference, actual: codes at every boundary; `actual` may have fewer frames.
    """
    graph = inputs.graph
    argmax = isinstance(graph.producer(graph.output), ArgMax)
    count = len(next(iter(actual.values())))
    expected = {key: codes[:count] for key, codes in reference.items()}
    total = compare(graph.boundaries(), expected, actual)
    details: dict[str, Any] = {}
    origins = 0
    if total.mismatches:
        # The exact maps to the thresholds are no part of the integer graph: lowering finds them.
        lowered = lower_with_affine(inputs.folder / QONNX_FILE, argmax=argmax)
        found = differences(lowered, inputs.frames[:count], actual, expected)
        details["differences"] = [_plain(difference) for difference in found[:LISTED]]
        origins = sum(not one.inherited for one in found)
    flips = 0
    if not argmax:
        flips = class_mismatches(expected[graph.output], actual[graph.output])
    return RungResult(
        name,
        frames=total.frames,
        boundaries=total.boundaries,
        codes=total.codes,
        mismatches=total.mismatches,
        origins=origins,
        must_be_exact=all_scales_are_powers_of_two(graph),
        class_mismatches=flips,
        note=total.first.sentence() if total.first else "",
        details=details,
    )


def _plain(difference: Difference) -> dict[str, Any]:
    """A difference as `verify.json` holds it; the distance in steps of the output code."""
    distance = difference.distance
    return {
        "boundary": difference.boundary,
        "index": list(difference.index),
        "expected": difference.expected,
        "found": difference.found,
        "distance_lsb": None if distance is None else float(distance),
        "inherited": difference.inherited,
    }


def threshold_distance(
    lowered: Lowered, boundary: str, codes: IntArray, index: tuple[int, ...]
) -> Fraction:
    """Exact distance of a value from the nearest edge between two codes, in output codes.

    Args:
        lowered: the integer graph with its exact maps.
        boundary: the output of a Threshold.
        codes: input codes (N, *shape).
        index: (frame, channel, ...) in the boundary's tensor.
    """
    node, source = lowered.graph.producer(boundary), lowered.affine.get(boundary)
    if node is None or source is None:
        raise InternalError(f"{boundary} is not the output of a threshold")
    frame = np.asarray(codes)[index[0] : index[0] + 1]
    tensors = run_reference(lowered.graph, frame, accumulators=True)
    acc = int(tensors[node.inputs[0]][(0, *index[1:])])
    channel = index[1]
    return tie_distance(source.gain[channel] * acc + source.offset[channel], source.quantizer)


def all_scales_are_powers_of_two(graph: IntegerGraph) -> bool:
    """Whether the codes at every boundary, logits included, have power-of-two scales."""
    scales = [graph.tensors[name].scale for name in (graph.input, *graph.boundaries())]
    return all(scale is None or _power_of_two(scale) for scale in scales)


def _power_of_two(scale: Fraction) -> bool:
    """2^e as a fraction has one of its two numbers 1, the other with a single bit."""
    return scale > 0 and (scale.numerator * scale.denominator).bit_count() == 1


def codes_at_boundaries(
    graph: IntegerGraph, values: Mapping[str, np.ndarray], codes: IntArray
) -> dict[str, IntArray]:
    """Integers at every boundary; what has no float value or no single scale is computed."""
    result = {graph.input: np.asarray(codes).astype(np.int64)}

    def computed(name: str) -> IntArray:
        if name not in result:
            node = graph.producer(name)
            if node is None:
                raise InternalError(f"nothing makes {name}")
            result[name] = evaluate(node, *(computed(item) for item in node.inputs))
        return result[name]

    for name in graph.boundaries():
        tensor = graph.tensors[name]
        if name in values and tensor.scale is not None:
            steps = np.rint(values[name].astype(np.float64) / scale_of(tensor)).astype(np.int64)
            # What is averaged over all pixels keeps axes of one pixel in the file.
            result[name] = steps.reshape(len(steps), *tensor.shape)
        elif isinstance(graph.producer(name), Threshold):
            raise InternalError(f"no module or tensor gives the codes of {name}")
        else:
            computed(name)
    return {name: result[name] for name in graph.boundaries()}


def scale_of(tensor: Tensor) -> float:
    """The value of one step of a tensor's codes.

    Raises:
        InternalError: its channels have different scales.
    """
    if tensor.scale is None:
        raise InternalError(f"{tensor.name} has no scale")
    return float(tensor.scale)

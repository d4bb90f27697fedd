"""Where a float engine's codes differ from the integers: exact arithmetic decides who is right.

Every layer is looked at by itself: its integers are computed again from the codes that the engine
itself had before it. So a code that differs is always one that this layer decided, never one that
an earlier difference explains, and the layers after a difference are checked as well.

    tie     the exact value rounds to the integer graph's code, and the engine's own error bound
            covers the distance to the code it gave instead
    wrong   exact arithmetic gives another code than the integer graph, or the engine is further off
            than float32 arithmetic can be

Logits are compared as values: an engine's logit is right within its error bound of the exact one.
Logits that a quantizer makes are codes, and judged like all others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from qdeploy.ir.head import Head
from qdeploy.ir.integer_graph import (
    Bias,
    Conv,
    Dense,
    GlobalSum,
    IntArray,
    IntegerGraph,
    Threshold,
)
from qdeploy.ir.reference import evaluate
from qdeploy.lowering.canonical.executor import infer_shapes
from qdeploy.lowering.integers.builder import Lowered
from qdeploy.supervised import in_parallel
from qdeploy.verify.exact import ExactFile
from qdeploy.verify.exact_chains import ends, inner_quantizers, is_coded, reached
from qdeploy.verify.exact_elements import Given, error_factor
from qdeploy.verify.narrow import Narrow, code_type, joined, narrow

# Logits whose exact value is computed from the file besides, spread over all.
SAMPLED = 64
# Frames whose sums are in memory at a time.
_AT_ONCE = 16


@dataclass(frozen=True)
class Difference:
    """One code that a layer of the engine gives otherwise, from the engine's own codes before it.

    Args:
        boundary: the tensor's name.
        index: (frame, channel, …) in the tensor.
        expected, found: codes of the integer graph's layer and of the engine.
        distance: exact distance of the value from the edge of the code found, in steps of the code;
            the bound where a quantizer before this one in the same table explains the code; None
            where there is no quantizer.
        bound: how far the engine may be from the exact value, in the same steps.
        exact_agrees: whether exact arithmetic gives `expected`.
    """

    boundary: str
    index: tuple[int, ...]
    expected: int
    found: int
    distance: float | None
    bound: float
    exact_agrees: bool

    @property
    def is_tie(self) -> bool:
        """Whether float rounding explains it and the integer graph is right."""
        return self.exact_agrees and self.distance is not None and self.distance <= self.bound


@dataclass
class Verdict:
    """What exact arithmetic says of an engine.

    Args:
        differences: of single layers, see above.
        wrong_logits: logits beyond the engine's error bound, or that the integers do not give.
        worst_logit: the largest distance of a logit from the exact one, as a share of the bound.
        logits: the engine's logits as integers: the exact ones where they are within the bound.
    """

    differences: list[Difference] = field(default_factory=list)
    wrong_logits: int = 0
    worst_logit: float = 0.0
    logits: IntArray | None = None

    @property
    def ties(self) -> list[Difference]:
        """Differences that float rounding explains."""
        return [one for one in self.differences if one.is_tie]

    @property
    def wrong(self) -> int:
        """Codes and logits for which there is no such explanation."""
        return len(self.differences) - len(self.ties) + self.wrong_logits


def judge(
    lowered: Lowered,
    model: ModelProto,
    frames: IntArray,
    reference: Mapping[str, Narrow],
    found: Mapping[str, Narrow],
    logits: npt.NDArray[np.floating] | None,
) -> Verdict:
    """Compare a float engine with the integer graph, layer by layer.

    Args:
        lowered: the integer graph with its ties to the file.
        model: the file in canonical form.
        frames: input codes (N, *shape).
        reference: the integer graph's codes at every boundary.
        found: the engine's.
        logits: the engine's logits (N, *shape), None where it gives none.
    """
    graph, model = lowered.graph, infer_shapes(model)
    names = [name for name in graph.boundaries() if name in found]
    differing = np.zeros(len(frames), dtype=bool)
    quantizers = ExactFile(model, {})
    coded = {name for name in names if is_coded(quantizers, lowered.sources.get(name, ""))}
    codes_last = quantizers.is_quantizer(lowered.sources.get(graph.logits, ""))
    for name in names:
        if name != graph.logits or codes_last:
            differing |= (found[name] != reference[name]).reshape(len(frames), -1).any(axis=1)
    verdict = Verdict()
    exact_logits = reference[graph.logits].astype(np.int64)
    chosen = np.flatnonzero(differing)
    if len(chosen):
        part = {name: found[name][chosen] for name in names}
        local = _layer_by_layer(graph, frames[chosen], part, coded)
        exact_logits[chosen] = local[graph.logits]
        verdict.differences = _judged(lowered, model, frames[chosen], part, local, chosen)
    if logits is not None and not codes_last:
        _judge_logits(verdict, lowered, model, frames, {**reference, **found}, exact_logits, logits)
    return verdict


def _layer_by_layer(
    graph: IntegerGraph, frames: IntArray, found: Mapping[str, Narrow], coded: set[str]
) -> dict[str, Narrow]:
    """Every boundary, each computed from the engine's codes before it; `coded`: which are codes,
    and not sums that an engine holds as rounded floats."""
    kinds = {name: code_type(graph.tensors[name]) for name in graph.boundaries()}

    def local(first: int) -> dict[str, Narrow]:
        part = slice(first, first + _AT_ONCE)
        given: dict[str, Narrow] = {graph.input: frames[part]}
        own: dict[str, Narrow] = {}
        for node in graph.nodes:
            result = evaluate(node, *(given[name] for name in node.inputs))
            if node.output in kinds:
                own[node.output] = narrow(result, kinds[node.output])
            is_code = node.output in coded and node.output != graph.logits
            given[node.output] = found[node.output][part] if is_code else result
        return own

    with in_parallel(local, range(0, len(frames), _AT_ONCE), len(os.sched_getaffinity(0))) as parts:
        return joined(list(parts))


def _judged(
    lowered: Lowered,
    model: ModelProto,
    frames: IntArray,
    found: Mapping[str, Narrow],
    local: Mapping[str, Narrow],
    numbers: IntArray,
) -> list[Difference]:
    graph = lowered.graph
    file = _exact_file(lowered, model, frames, found)
    result: list[Difference] = []
    for name in graph.boundaries():
        tensor = lowered.sources.get(name, "")
        if name not in found or (name == graph.logits and not file.is_quantizer(tensor)):
            continue
        places = np.argwhere(found[name] != local[name])
        if not len(places):
            continue
        pairs = [
            (int(local[name][tuple(place)]), int(found[name][tuple(place)])) for place in places
        ]
        indices = [(int(numbers[place[0]]), *map(int, place[1:])) for place in places]
        if not file.is_quantizer(tensor):
            shape = found[name].shape
            result += _sums(
                lowered, file, name, indices, pairs, _in_file(file, tensor, places, shape)
            )
            continue
        meaning = _meaning(lowered, name)
        elements = _in_file(file, tensor, places, found[name].shape)
        before = file.before_quantizer(tensor, elements)
        lows, highs = ends(reached(file, file.makers[tensor].input[0], elements))
        chained = bool(inner_quantizers(file, file.makers[tensor].input[0]))
        errors = before.error()
        for index, pair, value, error, low, high in zip(
            indices, pairs, before.value, errors, lows, highs, strict=True
        ):
            quantizer = file.quantizer(tensor, index[1])
            gain, offset = meaning.of(index[1])
            # Codes of the quantizer itself: those on the wire have no zero point, or another sign.
            expected, got = (int(quantizer.code_of(gain * n + offset)) for n in pair)
            bound = float(error) / float(quantizer.unit)
            distance = float(quantizer.distance(value, expected, got))
            codes = sorted((quantizer.code(low), quantizer.code(high)))
            if chained and codes[0] <= got <= codes[1]:
                distance = min(distance, bound)
            agrees = quantizer.code(value) == expected
            result.append(Difference(name, index, pair[0], pair[1], distance, bound, agrees))
    return result


def _sums(
    lowered: Lowered,
    file: ExactFile,
    name: str,
    indices: list[tuple[int, ...]],
    pairs: list[tuple[int, int]],
    places: IntArray,
) -> list[Difference]:
    """Integers that the engine has as a float sum: rounded to the nearest one they may be others.

    The sum is off by at most the engine's bound, and its integer by half a step more.
    """
    meaning = _meaning(lowered, name)
    file = file.without(lowered.sources[name])
    exact = file.elements(lowered.sources[name], places)
    lows, highs = ends(reached(file, lowered.sources[name], places))
    result = []
    for index, pair, value, error, low, high in zip(
        indices, pairs, exact.value, exact.error(), lows, highs, strict=True
    ):
        gain, offset = meaning.of(index[1])
        agrees = value == gain * pair[0] + offset
        bound, distance = float(error) / abs(float(gain)), abs(pair[0] - pair[1]) - 0.5
        codes = sorted(round((end - offset) / gain) for end in (low, high))
        if codes[0] <= pair[1] <= codes[1]:
            distance = min(distance, bound)
        result.append(Difference(name, index, pair[0], pair[1], distance, bound, agrees))
    return result


def _exact_file(
    lowered: Lowered, model: ModelProto, frames: IntArray, found: Mapping[str, Narrow]
) -> ExactFile:
    """The file with the engine's codes at every quantizer."""
    graph, given = lowered.graph, {}
    file = ExactFile(model, {})
    for name in (graph.input, *graph.boundaries()):
        tensor = lowered.sources.get(name, "")
        if name == graph.input or is_coded(file, tensor):
            meaning = _meaning(lowered, name)
            codes = frames if name == graph.input else found[name]
            if tensor == model.graph.input[0].name:
                codes = graph.prepared.restore(codes)
            codes = codes.reshape(len(codes), *file.shapes[tensor][1:])
            given[tensor] = Given(codes, meaning.scale, meaning)
    return ExactFile(model, given)


def _meaning(lowered: Lowered, name: str) -> Head:
    """What the integers of a boundary mean in the file."""
    if name == lowered.graph.logits:
        return lowered.graph.head
    if name in lowered.maps:
        return lowered.maps[name]
    return Head((lowered.graph.tensors[name].scale or Fraction(1),))


def _in_file(file: ExactFile, tensor: str, places: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Elements of a boundary as elements of the file's tensor, which may keep axes of one pixel."""
    flat = np.ravel_multi_index(tuple(places[:, 1:].T), shape[1:])
    return np.stack([places[:, 0], *np.unravel_index(flat, file.shapes[tensor][1:])], axis=1)


# ---- logits ----


def _judge_logits(
    verdict: Verdict,
    lowered: Lowered,
    model: ModelProto,
    frames: IntArray,
    codes: Mapping[str, Narrow],
    exact: IntArray,
    logits: npt.NDArray[np.floating],
) -> None:
    graph = lowered.graph
    head = graph.head
    values = head.values(exact)
    logits = logits.reshape(values.shape).astype(np.float64)
    size, roundings = _logit_magnitude(lowered, {**codes, graph.input: frames})
    positive = Head(tuple(map(abs, head.gain)), tuple(map(abs, head.offset)))
    bound = positive.values(size) * error_factor(roundings + 2)
    distance = np.abs(logits - values)
    right = distance <= bound
    verdict.wrong_logits = int((~right).sum())
    verdict.worst_logit = float(np.max(distance / np.maximum(bound, np.finfo(np.float64).tiny)))
    # A logit within the bound stands for the exact integer; float32 cannot tell more.
    verdict.logits = np.where(right, exact, codes[graph.logits])
    verdict.wrong_logits += _wrong_heads(lowered, model, frames, codes, exact)


def _wrong_heads(
    lowered: Lowered,
    model: ModelProto,
    frames: IntArray,
    codes: Mapping[str, Narrow],
    exact: IntArray,
) -> int:
    """Of some logits, how many are not exactly what the file computes from the codes before."""
    graph = lowered.graph
    every = max(1, exact.size // SAMPLED)
    picked = np.arange(0, exact.size, every)[:SAMPLED]
    places = np.stack(np.unravel_index(picked, exact.shape), axis=1)
    used, back = np.unique(places[:, 0], return_inverse=True)
    part = {name: values[used] for name, values in codes.items() if name in graph.boundaries()}
    file = _exact_file(lowered, model, frames[used], part)
    tensor = lowered.sources[graph.logits]
    local = np.concatenate([back.reshape(-1, 1), places[:, 1:]], axis=1)
    shape = (len(used), *exact.shape[1:])
    truth = file.elements(tensor, _in_file(file, tensor, local, shape)).value
    wrong = 0
    for place, value in zip(places, truth, strict=True):
        gain, offset = graph.head.of(int(place[1]))
        wrong += int(gain * int(exact[tuple(place)]) + offset != value)
    return wrong


def _logit_magnitude(
    lowered: Lowered, codes: Mapping[str, Narrow]
) -> tuple[npt.NDArray[np.float64], int]:
    """As `_magnitude`, of the logits in their own steps.

    Logits behind steps that no quantizer ends, as a ReLU, are a table of the last layer's sums.
    """
    graph = lowered.graph
    last = graph.producer(graph.logits)
    made = lowered.affine.get(graph.logits)
    if not isinstance(last, Threshold) or made is None:
        size, roundings = _magnitude(graph, graph.logits, codes)
        return size.astype(np.float64), roundings
    size, roundings = _magnitude(graph, last.inputs[0], codes)
    ratio, offset = (
        np.array([abs(float(v / graph.head.of(c)[0])) for c, v in enumerate(part)])
        for part in (made.gain, made.offset)
    )
    shape = (1, -1, *([1] * (size.ndim - 2)))
    return size * ratio.reshape(shape) + offset.reshape(shape), roundings + 2


def _magnitude(graph: IntegerGraph, name: str, codes: Mapping[str, Narrow]) -> tuple[IntArray, int]:
    """Sums of magnitudes of all terms of a tensor, and roundings on the way from codes to it."""
    node = graph.producer(name)
    if node is None or isinstance(node, Threshold):
        return np.abs(codes[name].astype(np.int64)), 3
    parts = [_magnitude(graph, source, codes) for source in node.inputs]
    roundings = max(count for _, count in parts) + 2
    if isinstance(node, Conv | Dense):
        node = replace(node, weights=np.abs(node.weights))
        roundings += int(np.prod(node.weights.shape[1:]))
    elif isinstance(node, Bias):
        node = replace(node, bias=np.abs(node.bias))
    elif isinstance(node, GlobalSum):
        roundings += int(np.prod(graph.tensors[node.inputs[0]].shape[1:]))
    return evaluate(node, *(values for values, _ in parts)), roundings

"""What each layer is driven with when it runs alone; deterministic.

copies, paddings, windows   codes that tell positions: digit k of an element's index in frame k,
                            so that any two positions differ in some frame; extremes; random;
                            for a FIFO enough to fill it
products, thresholds        extremes of the sums, both sides of every threshold (`search`)
additions, sums, concatenations   extremes, codes that tell positions
maxima                      each position wins, ties
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdeploy.design.manifest import Connection, Design
from qdeploy.ir.integer_graph import IntArray, IntegerGraph, IntType
from qdeploy.verify.units.accounts import FaultAccount
from qdeploy.verify.units.compared import bias_account, levels_account, window_account
from qdeploy.verify.units.contracts import Contract, as_stream, contract
from qdeploy.verify.units.masks import input_masks
from qdeploy.verify.units.parameters import UnitKind, UnitParameters, unit_parameters
from qdeploy.verify.units.ranges import channel_range
from qdeploy.verify.units.vectors import directed_kernels, directed_vectors

SEED = 11
FEWEST = 2  # steps, so that what is left of one shows in the next
SPARE_BEATS = 16


@dataclass(frozen=True)
class Stimuli:
    """Inputs of one layer and what it has to give.

    Args:
        unit: the layer.
        inputs, expected: (steps, elements) by port.
        left: steps that did not fit the budget.
        account: single faults, and what became of them.
    """

    unit: UnitParameters
    inputs: dict[str, IntArray]
    expected: dict[str, IntArray]
    left: int
    account: FaultAccount


def stimuli(
    design: Design, graph: IntegerGraph, unit: UnitParameters, cycles: int, depth: int = 0
) -> Stimuli:
    """Inputs for one layer.

    Args:
        cycles: most that the layer may take, stalls not counted; two steps are always made.
        depth: beats that it can hold, if it is a FIFO.
    """
    ports = design.ports_of(unit.layer.module)
    ins = {port: one for port, one in ports.items() if port.startswith("in")}
    outs = [port for port in ports if port.startswith("out")]
    rule = contract(design, unit)
    most = max(FEWEST, cycles // step_cycles(design, unit, rule))
    made, wished, told = _inputs(design, graph, unit, rule, ins, most)
    if depth:
        made, wished = _filling(made[0], ins["in0"], depth, most)
    given, due = dict(zip(ins, made, strict=True)), rule.apply(made)
    left = max(wished - len(made[0]), 0)
    if told is None:
        told = _account(unit, rule, made[0], due[0], complete=not left)
    return Stimuli(unit, given, dict(zip(outs, due, strict=True)), left, told)


def step_cycles(design: Design, unit: UnitParameters, rule: Contract) -> int:
    """Cycles that a step takes without stalls."""
    ports = design.ports_of(unit.layer.module).values()
    beats = [one.elements // one.per_beat for one in ports]
    return -(-max(unit.layer.cycles, *beats) // rule.steps)


def _inputs(
    design: Design,
    graph: IntegerGraph,
    unit: UnitParameters,
    rule: Contract,
    ins: dict[str, Connection],
    most: int,
) -> tuple[list[IntArray], int, FaultAccount | None]:
    """Inputs by port, how many steps there would be without the budget, and the account of a
    unit that multiplies."""
    first = ins["in0"]
    lo, hi = code_range(first)
    match unit.kind:
        case UnitKind.MATRIX | UnitKind.DEPTHWISE:
            return _products(design, graph, unit, first.per_beat, most)
        case UnitKind.THRESHOLDS | UnitKind.BIAS:
            x = _sums(unit)
        case UnitKind.ADDITION:
            pair = _pair(design, graph, unit, ins)
            kept = spread(len(pair[0]), most)
            return [side[kept] for side in pair], len(pair[0]), None
        case UnitKind.CONCAT:
            sides = _sides(rule, ins)
            kept = spread(len(sides[0]), most)
            return [side[kept] for side in sides], len(sides[0]), None
        case UnitKind.MAX_POOL:
            x = as_stream(_winners(unit.channels, unit.positions, lo, hi), first.per_beat)
        case UnitKind.ARGMAX:
            x = _winners(1, unit.positions, lo, hi)[:, 0]
        case UnitKind.GLOBAL_SUM:
            source = unit.inputs[0]
            x = telling(rule.takes[0], source.lo, source.hi)
        case _:
            x = telling(rule.takes[0], lo, hi)
    kept = spread(len(x), most)
    return [x[kept]], len(x), None


def spread(count: int, most: int) -> IntArray:
    """At most `most` of `count` indices, evenly over all of them."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def _account(
    unit: UnitParameters, rule: Contract, x: IntArray, given: IntArray, *, complete: bool
) -> FaultAccount:
    """The account of a unit that does not multiply."""
    if unit.window is not None:
        return window_account(unit.window, rule, x, given, complete=complete)
    if unit.kind is UnitKind.THRESHOLDS and unit.thresholds is not None:
        assert unit.sum_lo is not None and unit.sum_hi is not None
        return levels_account(unit.thresholds, unit.sum_lo, unit.sum_hi, x)
    if unit.bias is not None and unit.thresholds is None:
        return bias_account(unit.bias)
    return FaultAccount()


def _filling(x: IntArray, stream: Connection, depth: int, most: int) -> tuple[list[IntArray], int]:
    """Enough frames to fill a FIFO to the brim and go round its memory once more, and how many
    that are without the budget."""
    beats = x.shape[1] // stream.per_beat
    further = max(-(-(2 * depth + SPARE_BEATS) // beats) - len(x), 0)
    count = max(min(further, most - len(x)), 0)
    lo, hi = code_range(stream)
    random = np.random.default_rng(SEED + 1)
    more = random.integers(lo, hi + 1, (count, x.shape[1]))
    return [np.concatenate([x, more])], len(x) + further


def code_range(stream: Connection) -> tuple[int, int]:
    """Smallest and largest code that a stream's elements can carry."""
    kind = IntType(stream.bits, stream.signed)
    return kind.lo, kind.hi


def telling(elements: int, lo: int, hi: int) -> IntArray:
    """Frames (frames, elements) that tell every position from every other; the extremes; a random
    one."""
    base, index = hi - lo + 1, np.arange(elements, dtype=np.int64)
    frames = [np.full(elements, hi), np.full(elements, lo)]
    rest = elements - 1
    while rest:
        frames.append(lo + index % base)
        index, rest = index // base, rest // base
    frames.append(np.random.default_rng(SEED).integers(lo, hi + 1, elements))
    return np.array(frames, dtype=np.int64)


def _sides(rule: Contract, ins: dict[str, Connection]) -> list[IntArray]:
    """Vectors for every stream of a concatenation, each telling its positions; the streams are not
    alike, though they may have one type and as many channels."""
    parts = [
        telling(elements, *code_range(stream))
        for elements, stream in zip(rule.takes, ins.values(), strict=True)
    ]
    count = max(len(part) for part in parts) + len(parts)
    turns = np.arange(count)
    return [part[(turns + place) % len(part)] for place, part in enumerate(parts)]


def _winners(channels: int, positions: int, lo: int, hi: int) -> IntArray:
    """Values (vectors, channels, positions): each position the largest once, at both ends of the
    range, each two neighbours equal, other channels others."""
    place = (np.arange(positions) + np.arange(channels)[:, None]) % positions
    middle = (lo + hi) // 2
    made = [np.full((channels, positions), value) for value in (lo, hi, max(lo, min(0, hi)))]
    for winner in range(positions):
        first, second = place == winner, place == (winner + 1) % positions
        for low, high in ((lo, lo + 1), (lo, hi), (hi - 1, hi), (middle, middle + 1)):
            made.append(np.where(first, min(high, hi), low))
        made.append(np.where(first | second, hi, lo))
        made.append(np.where(first | second, min(middle + 1, hi), middle))
    random = np.random.default_rng(SEED)
    made += [random.integers(lo, hi + 1, (channels, positions)) for _ in range(8)]
    return np.array(made, dtype=np.int64)


def _sums(unit: UnitParameters) -> IntArray:
    """Inputs (vectors, channels) of stand-alone thresholds or biases: both sides of every
    threshold, the ends of every sum."""
    assert unit.sum_lo is not None and unit.sum_hi is not None
    lo, hi = unit.sum_lo, unit.sum_hi
    rows = [hi, lo, np.clip(0, lo, hi), np.random.default_rng(SEED).integers(lo, hi + 1)]
    rows.append(np.clip(lo + np.arange(len(lo)) % (hi - lo + 1), lo, hi))
    if unit.thresholds is not None:
        for column in unit.thresholds.T:
            rows += [np.clip(column, lo, hi), np.clip(column - 1, lo, hi)]
    sums = np.array(rows, dtype=np.int64)
    return sums if unit.bias is None else sums - unit.bias


def _pair(
    design: Design, graph: IntegerGraph, unit: UnitParameters, ins: dict[str, Connection]
) -> list[IntArray]:
    """Both sides of an addition: every pair of ends, one side telling positions at a time."""
    sides = []
    for stream in ins.values():
        ends = channel_range(graph, carried_tensor(design, graph, stream))
        sides.append([np.tile(end, unit.pixels) for end in ends])
    (lo0, hi0), (lo1, hi1) = sides
    tells = []
    for lo, hi in sides:
        index, base = np.arange(len(lo), dtype=np.int64), hi - lo + 1
        rest, found = len(lo) - 1, []
        while rest:
            found.append(lo + index % base)
            index, rest = index // base, rest // int(max(base.min(), 2))
        tells.append(found)
    pairs = [(lo0, lo1), (lo0, hi1), (hi0, lo1), (hi0, hi1)]
    pairs += [(one, np.clip(0, lo1, hi1)) for one in tells[0]]
    pairs += [(np.clip(0, lo0, hi0), one) for one in tells[1]]
    random = np.random.default_rng(SEED)
    pairs += [(random.integers(lo0, hi0 + 1), random.integers(lo1, hi1 + 1)) for _ in range(8)]
    return [np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1)]


def carried_tensor(design: Design, graph: IntegerGraph, stream: Connection) -> str:
    """The graph's tensor whose codes a stream carries: what the layer before computes, whatever
    only carries it on in between."""
    layers = {layer.module: layer for layer in design.layers}
    while stream.source.module:
        layer = layers[stream.source.module]
        unit = unit_parameters(design, graph, layer)
        if unit.kind is not UnitKind.COPY:
            assert unit.output is not None
            return unit.output.name
        stream = design.ports_of(layer.module)["in0"]
    return graph.input


def _products(
    design: Design, graph: IntegerGraph, unit: UnitParameters, lanes: int, most: int
) -> tuple[list[IntArray], int, FaultAccount]:
    source = unit.inputs[0]
    lo, hi = source.lo, source.hi
    masks = input_masks(design, graph, unit)
    if unit.kind is UnitKind.MATRIX:
        assert unit.matrix is not None
        masks = _over(masks, unit.matrix.shape[1])
        found = directed_vectors(unit.matrix, lo, hi, unit.thresholds, masks, most)
        return [found.inputs], len(found.inputs) + found.missing, found.account
    assert unit.kernel is not None
    # Padding is the same for all channels of a position.
    masks = _over(masks[:, :, 0], unit.kernel.shape[1])
    found = directed_kernels(unit.kernel, lo, hi, unit.thresholds, masks, most)
    made = as_stream(found.inputs, lanes)
    return [made], len(made) + found.missing, found.account


def _over(masks: IntArray, columns: int) -> IntArray:
    """(masks, columns) of masks that may be one value for all columns."""
    flat = masks.reshape(len(masks), -1)
    return np.array(np.broadcast_to(flat, (len(flat), columns)))

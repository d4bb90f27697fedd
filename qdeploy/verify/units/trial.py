"""A design's layers driven alone: what goes to their ports, and what came against what was due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from qdeploy.design.manifest import Connection, Design
from qdeploy.design.packing import pack, unpack
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.sim.cut_top import cut_ports
from qdeploy.sim.parts import PartsResult
from qdeploy.sim.simulator import Beats, Cycles
from qdeploy.verify.units.parameters import unit_parameters
from qdeploy.verify.units.stimuli import Stimuli, stimuli

# (module, port of the layer)
At = tuple[str, str]
HOLD_CYCLES = 64


@dataclass(frozen=True)
class Finding:
    """Something wrong at one output of one layer, in a sentence, and how many elements it is."""

    module: str
    port: str
    sentence: str
    elements: int


@dataclass(frozen=True)
class Trial:
    """What every layer gets and owes.

    Args:
        stimuli: by module.
        sent, due: beats by port; `due` of the outputs.
        hold: cycles that an output is not ready at first, long enough to fill what holds beats.
        cycles: most that a layer was to take, stalls not counted.
    """

    stimuli: dict[str, Stimuli]
    sent: dict[At, Beats]
    due: dict[At, Beats]
    hold: dict[At, int]
    cycles: int


def prepare(design: Design, graph: IntegerGraph, cycles: int) -> Trial:
    """The stimuli of all layers.

    Args:
        cycles: most that a layer may take, stalls not counted.
    """
    depths = {fifo.name: fifo.depth for fifo in design.fifos}
    made: dict[str, Stimuli] = {}
    sent: dict[At, Beats] = {}
    due: dict[At, Beats] = {}
    hold: dict[At, int] = {}
    for layer in design.layers:
        depth = depths.get(layer.name, 0)
        one = stimuli(design, graph, unit_parameters(design, graph, layer), cycles, depth)
        made[layer.module] = one
        ports = design.ports_of(layer.module)
        for port, values in one.inputs.items():
            sent[layer.module, port] = pack(values, ports[port].bits, ports[port].per_beat)
        for port, values in one.expected.items():
            due[layer.module, port] = pack(values, ports[port].bits, ports[port].per_beat)
            hold[layer.module, port] = 3 * depth + HOLD_CYCLES
    return Trial(made, sent, due, hold, cycles)


def findings(
    design: Design, trial: Trial, result: PartsResult, names: dict[At, str], modules: Iterable[str]
) -> list[Finding]:
    """What is wrong with the layers `modules`, in the design's order.

    Args:
        names: the model's port of each layer's port.
    """
    found = []
    for module in modules:
        stuck = [
            f"{port} took {result.taken[names[module, port]]} of {len(beats)} beats"
            for (owner, port), beats in trial.sent.items()
            if owner == module and result.taken[names[module, port]] < len(beats)
        ]
        for (owner, port), due in trial.due.items():
            if owner != module:
                continue
            name = names[module, port]
            one = _finding(
                design, trial.stimuli[module], module, port, due, result.outputs[name], result, name
            )
            if one is not None:
                found.append(one)
                stuck = []
        if stuck:
            layer = trial.stimuli[module].unit.layer
            text = f"layer `{layer.layer}` (`{module}`) stands still: {'; '.join(stuck)}"
            found.append(Finding(module, "", text, 1))
    return found


def timing(
    design: Design,
    trial: Trial,
    result: PartsResult,
    names: Mapping[At, str],
    rtl: PartsResult,
    modules: Iterable[str],
) -> list[Finding]:
    """Beats of the layers `modules` that pass in another cycle than in the RTL, one per layer.

    Args:
        result: of a model that was driven with the same stalls.
        names: its port of each layer's port.
        rtl: of the model of the RTL.
    """
    found = []
    theirs = cut_ports(design).names
    for module in modules:
        for at in (at for at in (*trial.due, *trial.sent) if at[0] == module):
            mine, due = result.handshakes[names[at]], rtl.handshakes[theirs[at]]
            count = min(len(mine), len(due))
            differing = np.flatnonzero(mine[:count] != due[:count])
            if len(differing) or len(mine) != len(due):
                place = int(differing[0]) if len(differing) else count
                found.append(_late(trial, at, place, mine, due))
                break
    return found


def _late(trial: Trial, at: At, place: int, mine: Cycles, due: Cycles) -> Finding:
    who = f"layer `{trial.stimuli[at[0]].unit.layer.layer}` (`{at[0]}`, {at[1]})"
    cycles = [str(one[place]) if place < len(one) else "none" for one in (mine, due)]
    text = f"{who} passes beat {place} in cycle {cycles[0]}, its RTL in cycle {cycles[1]}"
    return Finding(*at, text, 1)


def _finding(
    design: Design,
    one: Stimuli,
    module: str,
    port: str,
    due: Beats,
    came: Beats,
    result: PartsResult,
    name: str,
) -> Finding | None:
    stream = design.ports_of(module)[port]
    who = f"layer `{one.unit.layer.layer}` (`{module}`, {port})"
    wrong = _differing(stream, due[: len(came)], came)
    lacking = (len(due) - len(came)) * stream.per_beat
    if len(wrong):
        place = int(wrong[0])
        expected, actual = (
            int(unpack(beats, stream.bits, stream.per_beat, stream.signed)[place])
            for beats in (due[: len(came)], came)
        )
        text = f"{who}, {_place(one, port, place)}: {actual} instead of {expected}"
        if expected == actual:
            text = f"{who}, {_place(one, port, place)}: its beat carries more than its codes"
        return Finding(module, port, text, len(wrong) + lacking)
    given = result.given[name]
    if lacking:
        text = f"{who} gave {given} of {len(due)} beats"
        return Finding(module, port, text, lacking)
    if given > len(due):
        return Finding(module, port, f"{who} gave more than its {len(due)} beats", 1)
    if name in result.faults:
        return Finding(module, port, f"{who} {result.faults[name]}", 1)
    return None


def _differing(stream: Connection, due: Beats, came: Beats) -> np.ndarray:
    """Elements that differ; the first of a beat that differs in its padding only."""
    if np.array_equal(due, came):
        return np.zeros(0, dtype=np.int64)
    left, right = (
        unpack(beats, stream.bits, stream.per_beat, stream.signed).reshape(len(due), -1)
        for beats in (due, came)
    )
    wrong = left != right
    wrong[(due != came).any(axis=1) & ~wrong.any(axis=1), 0] = True
    return np.flatnonzero(wrong)


def _place(one: Stimuli, port: str, element: int) -> str:
    """Vector or frame, and the element in it; its channel too, and row and column of a map."""
    size = one.expected[port].shape[1]
    step, inside = divmod(element, size)
    unit = one.unit
    if unit.padding is not None:
        row, rest = divmod(inside, unit.padding.padded[1] * unit.padding.channels)
        column, channel = divmod(rest, unit.padding.channels)
        return f"frame {step}, row {row}, column {column}, channel {channel}"
    if unit.window is not None:
        each = size // (unit.window.out[0] * unit.window.out[1])
        window, place = divmod(inside, each)
        row, column = divmod(window, unit.window.out[1])
        return f"frame {step}, window in row {row}, column {column}, element {place}"
    what = "frame" if not unit.nodes else "vector"
    return f"{what} {step}, {'element' if not unit.nodes else 'channel'} {inside}"

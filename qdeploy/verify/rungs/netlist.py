"""The netlist rung: what synthesis made of the design, in Verilator, against the integer graph.

A small netlist runs whole, watched at every boundary. A large one runs block by block: its top with
the layers' RTL inside, then every layer from its netlist on the streams recorded there. Boundaries
are compared as codes with the integer graph, other streams byte for byte with the recording.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from qdeploy.build_folder import NETLIST_PATH, RTL_FOLDER, SIM_FOLDER
from qdeploy.design.manifest import Design
from qdeploy.ir.integer_graph import IntArray
from qdeploy.sim.design import DesignSimulator, decode
from qdeploy.sim.level import level_for
from qdeploy.sim.netlist import (
    SynthesizedDesign,
    UnmodelledError,
    compile_group,
    groups,
    record,
    replay,
    simulate_whole,
)
from qdeploy.sim.netlist_text import read_netlist
from qdeploy.sim.simulator import Beats, Simulator
from qdeploy.supervised import in_parallel
from qdeploy.tools import find_tool
from qdeploy.verify.compare import Comparison, compare, first_difference
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.netlist_origin import other_than_origin
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung

# A netlist of at most so many primitive cells runs whole; a group of layers has no more than that.
WHOLE_CELLS = 20_000
GROUP_CELLS = 12_000
# What the rung may cost unless it is requested by name. Compiling takes 2 ms of processor time per
# cell, 4 in a layer of 36,000, running 3 ns (-O0) or 1 ns (-O1) per cell and cycle: about eight and
# two minutes at most.
MOST_CELLS = 120_000
MOST_CELL_CYCLES = 10**11
# Frames' worth of cycles between the first input beat and the first frame's end, generously.
LATENCY_FRAMES = 3

_NO_STREAMS = (
    "the design was stitched by an earlier version of qdeploy, which did not record how layers are "
    "connected; run `qdeploy export` again"
)


class NetlistRung(Rung):
    """Skipped with the reason where there is no netlist, no model of one of its cells, or where it
    would take long and is not requested by name."""

    name = "netlist"
    needs = (RTL_FOLDER,)
    counts_beats = True

    def absent(self, inputs: LadderInputs) -> str | None:
        return no_netlist(inputs)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        try:
            opened = open_netlist(self.name, inputs, required=required)
            if isinstance(opened, RungResult):
                return opened
            netlist, frames = opened
            run = _whole if runs_whole(netlist) else _by_block
            return run(netlist, inputs, reference, frames)
        except UnmodelledError as error:
            return RungResult(self.name, skipped=error.what)


def no_netlist(inputs: LadderInputs) -> str | None:
    """Why a build has no netlist, None when it has one."""
    if (inputs.folder / NETLIST_PATH).is_file():
        return None
    return "there is no netlist: the build was made without synthesis"


def open_netlist(
    rung: str, inputs: LadderInputs, *, required: bool
) -> tuple[SynthesizedDesign, int] | RungResult:
    """The netlist and how many frames it runs, or the result of a rung that cannot run it.

    Raises:
        UnmodelledError: there is no model of one of its cells.
        ToolMissingError: Verilator is not installed.
    """
    folder = inputs.folder / RTL_FOLDER
    design = Design.load(folder)
    if other := other_than_origin(inputs.folder, design):
        return RungResult(rung, refused=other)
    find_tool("verilator")
    modules = read_netlist(inputs.folder / NETLIST_PATH)
    if not design.streams:
        return RungResult(rung, skipped=_NO_STREAMS)
    netlist = SynthesizedDesign(folder, design, modules, inputs.cache / SIM_FOLDER)
    frames = min(inputs.netlist_frames, len(inputs.frames))
    if not required:
        frames = min(frames, _affordable(netlist, inputs.stall))
    if frames < 1:
        return RungResult(rung, skipped=_too_long(netlist, rung))
    return netlist, frames


def runs_whole(netlist: SynthesizedDesign) -> bool:
    """Whether the netlist is small enough to run as a whole."""
    return netlist.cells <= WHOLE_CELLS


def whole_model(netlist: SynthesizedDesign, frames: int, stall: float) -> DesignSimulator:
    """The model of the whole netlist, the same for all rungs that need one."""
    return simulate_whole(netlist, level_for(2 * _cycles(netlist, frames, stall)))


def group_models(
    netlist: SynthesizedDesign, frames: int, stall: float
) -> Iterator[tuple[list[str], Simulator]]:
    """The models of groups of layers, the same for all rungs that need them."""
    made = groups(netlist, GROUP_CELLS)
    optimize = level_for(_cycles(netlist, frames, stall))
    # Compiling takes the time and is done by other programs; the short runs are one after another.
    workers = min(2, os.cpu_count() or 1)
    with in_parallel(lambda one: compile_group(netlist, one, optimize), made, workers) as compiled:
        yield from zip(made, compiled, strict=True)


def _cycles(netlist: SynthesizedDesign, frames: int, stall: float) -> int:
    """Cycles the netlist is expected to run for."""
    return int((frames + LATENCY_FRAMES) * netlist.design.cycles_per_frame / (1.0 - stall))


def _affordable(netlist: SynthesizedDesign, stall: float) -> int:
    """Most frames within the bounds on cells and on cell-cycles, maybe none."""
    if netlist.cells > MOST_CELLS:
        return 0
    frame = netlist.design.cycles_per_frame / (1.0 - stall)
    return int(MOST_CELL_CYCLES / (netlist.cells * frame)) - LATENCY_FRAMES


def _too_long(netlist: SynthesizedDesign, rung: str) -> str:
    return (
        f"a netlist of {netlist.cells:,} cells at {netlist.design.cycles_per_frame:,} cycles per "
        f"frame takes long to simulate; `--require {shlex.quote(rung)}` runs it anyway"
    )


def _whole(
    netlist: SynthesizedDesign, inputs: LadderInputs, reference: Reference, frames: int
) -> RungResult:
    names, output = inputs.graph.boundaries(), inputs.graph.output
    simulator = whole_model(netlist, frames, inputs.stall)
    parts, cycles = [], {}
    for run, stall in (("stalled", inputs.stall), ("free", 0.0)):
        found = simulator.run(
            inputs.frames[:frames], stall_in=stall, stall_out=stall, seed=inputs.seed
        )
        actual = {**found.taps, output: found.outputs}
        parts.append(compare(names, _first(reference, frames), actual))
        cycles[f"cycles_{run}"] = int(found.cycles)
    runs = ["random stalls on input and output", "back to back without stalls"]
    details = {"mode": "whole netlist", "runs": runs, **cycles}
    return _result(netlist, inputs, parts, len(names), details)


def _by_block(
    netlist: SynthesizedDesign, inputs: LadderInputs, reference: Reference, frames: int
) -> RungResult:
    names, output = inputs.graph.boundaries(), inputs.graph.output
    expected = _first(reference, frames)
    optimize = level_for(_cycles(netlist, frames, inputs.stall))
    recorded = record(netlist, inputs.frames[:frames], inputs.stall, inputs.seed, optimize)
    result = recorded.result
    parts = [compare(names, expected, {**result.taps, output: result.outputs})]
    models = 0
    for group, simulator in group_models(netlist, frames, inputs.stall):
        models += 1
        found = replay(netlist, simulator, group, recorded, inputs.stall, inputs.seed)
        for name, beats in found.items():
            parts.append(_stream(netlist, name, beats, recorded.beats, expected))
    details = {
        "mode": "block by block",
        "runs": ["the top around the layers' RTL", "each layer alone, stalls on every port"],
        "layers": len(netlist.layers),
        "models": models + 1,
        "cycles_stalled": int(result.cycles),
    }
    return _result(netlist, inputs, parts, len(names), details)


def _stream(
    netlist: SynthesizedDesign,
    name: str,
    beats: Beats,
    recorded: Mapping[int, Beats],
    expected: Reference,
) -> Comparison:
    """Compare what port `name`, `<module>_<port>`, gave: codes at a boundary, else bytes."""
    module, port = name.rsplit("_", 1)
    stream = netlist.design.ports_of(module)[port]
    tap = netlist.design.tap_of(stream)
    frames = len(next(iter(expected.values())))
    if tap is not None and tap.tensor in expected:
        return compare([tap.tensor], expected, {tap.tensor: decode(tap, beats, frames)})

    def bytes_of(data: Beats) -> IntArray:
        return data.reshape(frames, -1).astype(np.int64)

    return compare([name], {name: bytes_of(recorded[stream.number])}, {name: bytes_of(beats)})


def _result(
    netlist: SynthesizedDesign,
    inputs: LadderInputs,
    parts: list[Comparison],
    boundaries: int,
    details: dict[str, Any],
) -> RungResult:
    differing = [one for part in parts for one in part.found]
    return RungResult(
        "netlist",
        frames=parts[0].frames,
        boundaries=boundaries,
        codes=sum(part.codes for part in parts),
        mismatches=sum(part.mismatches for part in parts),
        note=differing[0].sentence() if differing else "",
        details={
            "cells": netlist.cells,
            "stall": inputs.stall,
            "seed": inputs.seed,
            **details,
            **first_difference(differing[0] if differing else None),
        },
    )


def _first(reference: Reference, frames: int) -> Reference:
    return {name: codes[:frames] for name, codes in reference.items()}

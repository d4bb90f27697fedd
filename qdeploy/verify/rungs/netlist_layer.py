"""The netlist layer rung: every hardware layer of the synthesized netlist alone.

As the layer rung, in the models of the netlist rung: of the whole netlist, whose layers are cut
loose, or of groups of layers, which stand alone anyway. Synthesis moves no register, so each beat
passes in the cycle in which it passes in the RTL under the same stalls: a cell that only decides
when beats come is found by that.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdeploy.build_folder import RTL_FOLDER
from qdeploy.sim.cut_top import cut_ports
from qdeploy.sim.netlist import SynthesizedDesign, UnmodelledError
from qdeploy.sim.simulator import Simulator
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung
from qdeploy.verify.rungs.layer import (
    NOT_RECORDED,
    allowed_cycles,
    drive,
    drive_rtl,
    layer_result,
)
from qdeploy.verify.rungs.memories import records_all
from qdeploy.verify.rungs.netlist import (
    group_models,
    no_netlist,
    open_netlist,
    runs_whole,
    whole_model,
)
from qdeploy.verify.units.trial import At, findings, prepare, timing

# Cells times cycles: some seconds at 3 ns each, stalls included.
MOST_CELL_CYCLES = 1_000_000_000


class NetlistLayerRung(Rung):
    """Skipped with the reason where the netlist rung is."""

    name = "netlist layer"
    needs = (RTL_FOLDER,)

    def absent(self, inputs: LadderInputs) -> str | None:
        return no_netlist(inputs)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        try:
            opened = open_netlist(self.name, inputs, required=required)
            if isinstance(opened, RungResult):
                return opened
            netlist, frames = opened
            if not records_all(netlist.design):
                return RungResult(self.name, skipped=NOT_RECORDED)
            return self._driven(netlist, frames, inputs)
        except UnmodelledError as error:
            return RungResult(self.name, skipped=error.what)

    def _driven(self, netlist: SynthesizedDesign, frames: int, inputs: LadderInputs) -> RungResult:
        design = netlist.design
        allowed = allowed_cycles(design, inputs.graph)
        cycles = min(allowed, MOST_CELL_CYCLES // netlist.cells)
        trial = prepare(design, inputs.graph, cycles)
        rtl = drive_rtl(inputs, design, trial)
        found, ran, models = [], 0, 0
        with inputs.observer.meter("netlist", len(netlist.layers), "layers") as bar:
            for modules, simulator, names in _models(netlist, frames, inputs.stall):
                result = drive(simulator, design, trial, names, inputs.seed)
                wrong = findings(design, trial, result, names, modules)
                told = {one.module for one in wrong}
                rest = [module for module in modules if module not in told]
                found += [*wrong, *timing(design, trial, result, names, rtl, rest)]
                ran, models = ran + result.cycles, models + 1
                bar.advance(len(modules))
        mode = "whole netlist" if runs_whole(netlist) else "block by block"
        details = {"mode": mode, "models": models, "cells": netlist.cells}
        return layer_result(self.name, trial, found, ran, details)


def _models(
    netlist: SynthesizedDesign, frames: int, stall: float
) -> Iterator[tuple[list[str], Simulator, dict[At, str]]]:
    """Models, the layers in each, and the model's port of each layer's port."""
    design = netlist.design
    if runs_whole(netlist):
        simulator = whole_model(netlist, frames, stall).simulator
        yield netlist.layers, simulator, cut_ports(design).names
        return
    for group, simulator in group_models(netlist, frames, stall):
        names = {
            (module, port): f"{module}_{port}"
            for module in group
            for port in design.ports_of(module)
        }
        yield group, simulator, names

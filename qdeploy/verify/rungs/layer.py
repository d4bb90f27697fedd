"""The layer rung: every hardware layer of the stitched design alone, in the model of the rtl rung.

Each layer is cut loose from the others and driven with vectors made for it (`verify/units`), all at
the same time, with phases of random stalls on every port and phases without. What a layer has to
give is derived from the integer graph; a layer that stands still does not hide the others' results.
"""

from __future__ import annotations

from typing import Any

from qdeploy.build_folder import RTL_FOLDER, SIM_FOLDER
from qdeploy.design.manifest import Design
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.sim.cut_top import cut_ports
from qdeploy.sim.design import IDLE_CYCLES, simulate_design
from qdeploy.sim.level import level_of
from qdeploy.sim.parts import PartsResult, run_parts
from qdeploy.sim.simulator import Simulator
from qdeploy.verify.coverage.counted import products_per_frame
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung
from qdeploy.verify.rungs.memories import records_all
from qdeploy.verify.units.accounts import BEATS, FaultAccount
from qdeploy.verify.units.trial import At, Finding, Trial, findings, prepare

# A layer may take as long as the design takes for so many frames, or as many cycles as run in less
# than a second, whichever is longer.
FRAMES = 40
LEAST_CYCLES = 100_000
# Fewer frames of a network of many products, but one: what their vectors compute takes minutes to
# find and to simulate.
MOST_PRODUCTS = 4_000_000_000
STALL, BURST = 0.5, 64
# Half of the cycles stall every second time, on two sides; four times that is a layer that loops.
SLOWEST = 16
MOST_TOLD = 100
NOT_RECORDED = (
    "the design was stitched by an earlier version of qdeploy, which did not record what each "
    "layer computes; run `qdeploy export` again"
)


class LayerRung(Rung):
    """Needs no frames: the vectors come from the integer graph."""

    name = "layer"
    needs = (RTL_FOLDER,)

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        design = Design.load(inputs.folder / RTL_FOLDER)
        if not records_all(design):
            return RungResult(self.name, skipped=NOT_RECORDED)
        trial = prepare(design, inputs.graph, allowed_cycles(design, inputs.graph))
        result = drive_rtl(inputs, design, trial)
        found = findings(design, trial, result, cut_ports(design).names, trial.stimuli)
        return layer_result(self.name, trial, found, result.cycles)


def allowed_cycles(design: Design, graph: IntegerGraph) -> int:
    """Most cycles of a layer, stalls not counted."""
    frames = min(max(MOST_PRODUCTS // max(products_per_frame(graph), 1), 1), FRAMES)
    return max(frames * design.cycles_per_frame, LEAST_CYCLES)


def drive_rtl(inputs: LadderInputs, design: Design, trial: Trial) -> PartsResult:
    """Run the layers of the RTL."""
    folder = inputs.folder / RTL_FOLDER
    level = level_of(design, inputs.rtl_frames)
    model = simulate_design(folder, design, inputs.cache / SIM_FOLDER, taps=True, optimize=level)
    return drive(model.simulator, design, trial, cut_ports(design).names, inputs.seed)


def drive(
    simulator: Simulator, design: Design, trial: Trial, names: dict[At, str], seed: int
) -> PartsResult:
    """Run the layers whose ports are in `names`, all at the same time; a port stalls in the same
    cycles in every model."""
    hold = {names[at]: cycles for at, cycles in trial.hold.items() if at in names}
    longest = max(hold.values(), default=0)
    return run_parts(
        simulator,
        {names[at]: beats for at, beats in trial.sent.items() if at in names},
        {names[at]: len(beats) for at, beats in trial.due.items() if at in names},
        stall=STALL,
        burst=BURST,
        hold=hold,
        streams={
            names[at]: number
            for number, at in enumerate((*trial.sent, *trial.due), 1)
            if at in names
        },
        seed=seed,
        idle_limit=IDLE_CYCLES + longest + 4 * design.cycles_per_frame,
        max_cycles=SLOWEST * trial.cycles + 16 * design.cycles_per_frame + longest,
    )


def layer_result(
    name: str,
    trial: Trial,
    found: list[Finding],
    cycles: int,
    details: dict[str, Any] | None = None,
) -> RungResult:
    """The result, with what each layer was driven with."""
    layers = [
        {
            "layer": one.unit.layer.layer,
            "module": module,
            "kind": one.unit.kind.value,
            "vectors": len(next(iter(one.inputs.values()))),
            "left_out": one.left,
            **({"faults": found_in} if (found_in := one.account.record()) else {}),
        }
        for module, one in trial.stimuli.items()
    ]
    total = FaultAccount.of(one.account for one in trial.stimuli.values())
    return RungResult(
        name,
        boundaries=len(trial.due),
        codes=sum(
            values.size for one in trial.stimuli.values() for values in one.expected.values()
        ),
        mismatches=sum(one.elements for one in found),
        note=found[0].sentence if found else _left_out(trial),
        # Every beat is counted that goes into a layer and comes out of it.
        coverage={**total.shares(), BEATS: 1.0},
        details={
            "stall": STALL,
            "cycles": cycles,
            "left_out": sum(one.left for one in trial.stimuli.values()),
            "differences": [one.sentence for one in found[:MOST_TOLD]],
            "single_faults": total.record(),
            "layers": layers,
            **(details or {}),
        },
    )


def _left_out(trial: Trial) -> str:
    """How much did not fit the time, empty where everything did."""
    left = {one.unit.layer.layer: 0 for one in trial.stimuli.values()}
    for one in trial.stimuli.values():
        left[one.unit.layer.layer] += one.left
    total = sum(left.values())
    if not total:
        return ""
    most = max(left, key=lambda layer: left[layer])
    return f"{total:,} vectors left out for time, {left[most]:,} of them of layer `{most}`"

"""The rtl rung: the stitched design in Verilator; stalled frames compared, unstalled also timed."""

from __future__ import annotations

from qdeploy.build_folder import RTL_FOLDER, SIM_FOLDER
from qdeploy.design.manifest import Design
from qdeploy.sim.design import simulate_design
from qdeploy.sim.level import level_of
from qdeploy.verify.compare import Comparison, compare
from qdeploy.verify.inputs import LadderInputs, Reference
from qdeploy.verify.performance import measure, write_performance
from qdeploy.verify.results import RungResult
from qdeploy.verify.rungs.base import Rung, exact_result


class RtlRung(Rung):
    """While a build is made it writes `performance.json` too: the cycles of the run without
    stalls. A later verification, of other frames perhaps, does not."""

    name = "rtl"
    needs = (RTL_FOLDER,)
    counts_beats = True

    def run(self, inputs: LadderInputs, reference: Reference, *, required: bool) -> RungResult:
        folder = inputs.folder / RTL_FOLDER
        design = Design.load(folder)
        level = level_of(design, inputs.rtl_frames)
        simulator = simulate_design(
            folder, design, inputs.cache / SIM_FOLDER, taps=True, optimize=level
        )
        count = min(inputs.rtl_frames, len(inputs.frames))
        expected = {name: codes[:count] for name, codes in reference.items()}
        frames, output = inputs.frames[:count], inputs.graph.output
        names = inputs.graph.boundaries()
        stalled = simulator.run(
            frames, stall_in=inputs.stall, stall_out=inputs.stall, seed=inputs.seed
        )
        result = compare(names, expected, {**stalled.taps, output: stalled.outputs})
        free = simulator.run(frames)
        unstalled = compare(names, expected, {**free.taps, output: free.outputs})
        if inputs.measuring:
            write_performance(inputs.folder, measure(design, free, len(frames)))
        total = Comparison(
            result.frames,
            result.boundaries,
            result.codes + unstalled.codes,
            result.mismatches + unstalled.mismatches,
            (*result.found, *unstalled.found),
        )
        return exact_result(
            self.name,
            total,
            {
                "stall": inputs.stall,
                "seed": inputs.seed,
                "runs": ["random stalls on input and output", "back to back without stalls"],
                "cycles_stalled": int(stalled.cycles),
                "cycles_free": int(free.cycles),
                "cycles_per_frame": int(free.cycles_per_frame),
                "latency_cycles": int(free.latency_cycles),
                "fifo_high_water": {name: int(fill) for name, fill in free.fifo_max.items()},
            },
        )

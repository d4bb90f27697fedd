"""The step `size_fifos`: simulate, choose depths, stitch again, simulate again.

What it found is in `fifos.json`: for each FIFO its width, the depth by the skews of the branches,
the high-water mark with deep FIFOs, the depth chosen and the most it then held; the cycles between
frames before and after, with and without stalls.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qdeploy.artifacts import write_json
from qdeploy.build.options import ANALYTIC, SIMULATED
from qdeploy.build.state import BuildState, made
from qdeploy.build.steps.base import Step
from qdeploy.build_folder import FIFOS_FILE, RTL_FOLDER, SIM_FOLDER
from qdeploy.dataflow.compile import Compiled
from qdeploy.dataflow.fifos.sites import FifoSite
from qdeploy.design.manifest import Design
from qdeploy.errors import InternalError, ToolMissingError
from qdeploy.ir.integer_graph import IntArray
from qdeploy.scratch import scratch_folder
from qdeploy.sim.design import DesignResult, simulate_design
from qdeploy.sim.errors import DeadlockError
from qdeploy.sim.fifo_sizing import Bounds, FifoSizer, Sizing, average, interval
from qdeploy.sim.level import level_of

# How often the stitched design may be deepened and compiled again.
TRIES = 3
# Frames the FIFOs are sized with; how long a design takes does not depend on the codes.
SIZING_FRAMES = 8


class SizeFifos(Step):
    """Skipped where depths by the skews are requested, and without Verilator."""

    name = "size_fifos"
    after = ("frames", "compile")
    needs_board = True

    def run(self, state: BuildState) -> None:
        options, compiled = state.options, made(state.compiled, "compile")
        (state.folder / FIFOS_FILE).unlink(missing_ok=True)  # of an earlier try
        if options.fifo_depths != SIMULATED:
            return
        with state.observer.during("FIFO depths from RTL simulation") as say:
            try:
                sized = size_fifos(
                    compiled,
                    state.folder / RTL_FOLDER,
                    made(state.frames, "frames").codes[:SIZING_FRAMES],
                    state.cache,
                    stall=options.stall,
                    seed=options.seed,
                    optimize=level_of(compiled.design, options.rtl_frames),
                )
            except ToolMissingError as error:
                say(f"{error.what}: depths by the skews of branches")
                return
            sized.save(state.folder)
            say(sized.sentence())
        state.compiled = dataclasses.replace(compiled, design=sized.design)


@dataclass(frozen=True)
class Sized:
    """A design with the depths that simulation found.

    Args:
        design: stitched with them.
        sizing: how they were found.
        sites: where FIFOs may stand.
        free, stalled: runs of the stitched design, without and with random stalls.
        stall: chance per cycle of a stall, on both sides.
    """

    design: Design
    sizing: Sizing
    sites: list[FifoSite]
    free: DesignResult
    stalled: DesignResult
    stall: float

    @property
    def words(self) -> int:
        """Words of all FIFOs."""
        return sum(fifo.depth for fifo in self.design.fifos)

    def sentence(self) -> str:
        """One line about it, for people."""
        before = sum(site.analytic for site in self.sites)
        count = len(self.design.fifos)
        return (
            f"{count} FIFO{'' if count == 1 else 's'} with {self.words:,} words instead of "
            f"{before:,}, {interval(self.free):,} cycles per frame as with deep ones"
        )

    def save(self, folder: Path) -> None:
        """Write `fifos.json` into the build folder."""
        sizing = self.sizing
        depths = {fifo.stream: fifo.depth for fifo in self.design.fifos}
        held = {fifo.stream: self.free.fifo_max[fifo.name] for fifo in self.design.fifos}
        held_stalled = {f.stream: self.stalled.fifo_max[f.name] for f in self.design.fifos}
        write_json(
            folder / FIFOS_FILE,
            {
                "source": "RTL simulation in Verilator, frames back to back",
                "frames": sizing.frames,
                "runs": sizing.runs,
                "cycles_per_frame": {
                    "deep": sizing.interval,
                    "sized": interval(self.free),
                    "deep_stalled": sizing.stalled_deep,
                    "sized_stalled": average(self.stalled),
                },
                "stall": self.stall,
                "words": self.words,
                "words_analytic": sum(site.analytic for site in self.sites),
                "fifos": [_row(site, sizing, depths, held, held_stalled) for site in self.sites],
            },
        )


def _row(
    site: FifoSite,
    sizing: Sizing,
    depths: Mapping[str, int],
    held: Mapping[str, int],
    held_stalled: Mapping[str, int],
) -> dict[str, Any]:
    stream = site.stream
    return {
        "name": site.fifo,
        "stream": stream,
        "width": site.width,
        "analytic": site.analytic,
        "mark": sizing.marks[stream],
        "depth": depths.get(stream, 0),
        "held": held.get(stream, 0),
        "held_stalled": held_stalled.get(stream, 0),
    }


def size_fifos(
    compiled: Compiled,
    folder: Path,
    codes: IntArray,
    cache: Path,
    *,
    stall: float,
    seed: int,
    optimize: str | None = None,
) -> Sized:
    """Find depths by simulation and write the design with them to `folder`.

    Args:
        compiled: the design as it was stitched with the analytic depths.
        folder: of the design, replaced as a whole.
        codes: (frames, *shape) input codes.
        cache: folder of compiled models, stored by content.
        stall, seed: of the runs with stalls.
        optimize: level of the models, as `simulate_design` takes it.

    Raises:
        ToolMissingError: Verilator, g++ or make is not installed.
        DeadlockError: the design stands still with deep FIFOs.
    """
    sites = compiled.fifo_sites()
    with scratch_folder("fifos") as scratch:
        deep = scratch / "rtl"
        design = compiled.for_sizing(deep)
        simulator = simulate_design(deep, design, cache / SIM_FOLDER, optimize=optimize)
        bounds = {site.stream: Bounds(site.least, site.deep) for site in sites}
        sizing = FifoSizer(simulator, codes, bounds, stall, seed).size()
    return confirm(
        compiled, folder, codes, cache, sizing, stall=stall, seed=seed, optimize=optimize
    )


def confirm(
    compiled: Compiled,
    folder: Path,
    codes: IntArray,
    cache: Path,
    sizing: Sizing,
    *,
    stall: float,
    seed: int,
    optimize: str | None = None,
) -> Sized:
    """Stitch the design with the depths found and simulate it; deepen FIFOs while it is slower.

    Raises:
        InternalError: it stays slower, or stands still, after `TRIES`.
    """
    sites = compiled.fifo_sites()
    depths = dict(sizing.depths)
    frames = np.resize(codes, (sizing.frames, *codes.shape[1:]))
    for _ in range(TRIES):
        design = compiled.stitched(folder, depths)
        simulator = simulate_design(folder, design, cache / SIM_FOLDER, optimize=optimize)
        try:
            free = simulator.run(frames)
            stalled = simulator.run(frames, stall, stall, seed)
        except DeadlockError:
            free = None
        if free is not None and interval(free) <= sizing.interval:
            found = dataclasses.replace(sizing, depths=depths)
            return Sized(design, found, sites, free, stalled, stall)
        depths = {
            site.stream: min(
                site.deep,
                max(site.least, 2 * depths[site.stream], sizing.marks[site.stream] + 1),
            )
            for site in sites
        }
    raise InternalError(
        f"`{compiled.design.name}` is slower than with deep FIFOs",
        why=f"{sizing.interval} cycles per frame were reached, and not again in {TRIES} tries",
        do=f"export with `--fifo-depths {ANALYTIC}`, and report it",
    )

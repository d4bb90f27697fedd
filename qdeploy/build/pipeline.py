"""The steps of a build, in order, inside one folder.

QONNX -> integer graph -> FINN and RTL -> FIFO depths -> synthesis -> ladder -> package
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qdeploy import progress, provenance
from qdeploy.artifacts import sha256, write_json
from qdeploy.build.observer import Observer
from qdeploy.build.options import Options
from qdeploy.build.scores import scores
from qdeploy.build.size_fifos import ANALYTIC, SIMULATED, size_fifos
from qdeploy.build.source import Source
from qdeploy.build_folder import (
    BUILD_FILE,
    FIFOS_FILE,
    HARDWARE_FILE,
    INT_FILE,
    QONNX_FILE,
    RTL_FOLDER,
    SYNTH_FOLDER,
)
from qdeploy.dataflow.compile import Compiled, compile_graph, hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.estimates import write_estimates
from qdeploy.dataflow.folding.file import FoldingConstraint, read_folding
from qdeploy.dataflow.folding.larger_boards import write_boards
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.errors import DoesNotFitError, FoldingError, ToolMissingError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.synth.figures import Resources
from qdeploy.targets.registry import Target
from qdeploy.verify.frames import Frames, save_frames
from qdeploy.verify.ladder import climb
from qdeploy.verify.levels import Levels
from qdeploy.verify.results import Rung, anything_ran, write_verify

# "As fast as fits" keeps this many times free what the try before was too large by.
KEPT = 1.25
TRIES = 4
# Frames the FIFOs are sized with; what takes time in a design does not depend on the codes.
SIZING_FRAMES = 8


def lower_file(folder: Path, argmax: bool) -> IntegerGraph:
    """The integer graph of the QONNX file in a build folder."""
    from qdeploy.lowering.integers.lower import lower

    return lower(folder / QONNX_FILE, argmax=argmax)


@dataclass
class Pipeline:
    """One build.

    Args:
        options: what was asked for.
        source, board, target: what the options name, found.
        work: the folder everything is written to.
        cache: folder of results kept by content.
        watch: is told about every step.
    """

    options: Options
    source: Source
    board: Board
    target: Target
    work: Path
    cache: Path
    watch: Observer

    def run(self) -> list[Rung]:
        """Do every step; returns what the ladder said.

        Raises:
            UserError: a mistake a person can mend, such as a layer without a hardware unit.
            DoesNotFitError: the design at the rate asked for is larger than the board.
        """
        self._wishes()  # a folding file that does not read is refused before anything is done
        graph = self._lowered()
        frames = self._frames(graph)
        found = self._scores(graph, frames)
        compiled, resources = self._design(graph, frames)
        self._look_ahead(graph, compiled)
        proven = frames.first(self.options.frames)
        save_frames(self.work, proven)
        rungs = self._ladder(graph, proven)
        with self.watch.during(f"package for {self.options.target}") as say:
            said = self.target.package(
                self.work,
                compiled.design,
                self.board,
                graph,
                proven,
                classes=self.source.classes,
                input_bits=self.source.input_bits,
            )
            say(said if anything_ran(rungs) else f"{said}; of an UNPROVEN design: no rung ran")
        self._record(graph, frames, found, resources)
        return rungs

    def _lowered(self) -> IntegerGraph:
        with self.watch.during("export QONNX and lower to integers") as say:
            from qdeploy.codegen.onnx.model import emit_onnx

            self.source.write_qonnx(self.work / QONNX_FILE)
            graph = lower_file(self.work, self.options.argmax)
            graph = dataclasses.replace(graph, name=self.source.name)
            self.target.check_network(graph)
            hardware_layers(graph)  # a layer without hardware is refused here, in seconds
            emit_onnx(graph, self.work / INT_FILE, taps=False)
            say(f"{len(graph.nodes)} integer nodes, {graph.weights_of():,} weights")
        return graph

    def _frames(self, graph: IntegerGraph) -> Frames:
        return self.source.frames(graph, self.options.frames, self.options.seed)

    def _scores(self, graph: IntegerGraph, frames: Frames) -> dict[str, float]:
        """Metrics of the integer network on the test set, empty where there is none."""
        if not frames.tested:
            return {}
        with self.watch.during("integer network on the test set") as say:
            found = scores(graph, frames.first(frames.tested), self.work / INT_FILE)
            said = ", ".join(f"{name} {value:.2%}" for name, value in found.items())
            say(f"{said or 'no metric'}, {frames.tested:,} frames")
        return found

    def _design(self, graph: IntegerGraph, frames: Frames) -> tuple[Compiled, Resources | None]:
        """Compile, size FIFOs and synthesize; "as fast as fits" folds for a smaller board until
        synthesis agrees: an estimate is off by some LUTs, and FIFOs are known after simulation."""
        from qdeploy.synth.fit import check_fit

        tries = TRIES if self.options.fps is None else 1
        kept: dict[str, float] = {}
        refused: DoesNotFitError | None = None
        while True:
            try:
                compiled = self._sized(self._compiled(graph, kept), frames)
            except FoldingError as error:
                if refused is None:
                    raise
                raise refused from error  # what synthesis said of the real board is the answer
            resources = self._synthesized(compiled.design)
            if resources is None:
                return compiled, None
            tries -= 1
            try:
                check_fit(resources, self.board, compiled.design.clock_mhz)
            except DoesNotFitError as error:
                if not tries:
                    raise
                refused = error
                for kind, amount in resources.fit.missing().items():
                    kept[kind] = kept.get(kind, 0) + KEPT * amount
            else:
                resources.save(self.work)
                return compiled, resources

    def _compiled(self, graph: IntegerGraph, kept: Mapping[str, float]) -> Compiled:
        with self.watch.during("FINN: hardware layers, folding, RTL") as say:
            compiled = compile_graph(
                graph,
                self.board,
                self.work / RTL_FOLDER,
                clock_mhz=self.options.clock_mhz,
                fps=self.options.fps,
                constraints=self._wishes(),
                reserved=kept,
            )
            design = compiled.design
            self.target.check_design(design)
            say(f"{len(design.layers)} layers, {design.cycles_per_frame:,} cycles a frame expected")
        return compiled

    def _sized(self, compiled: Compiled, frames: Frames) -> Compiled:
        """The design with FIFOs sized by simulation, where that is asked for and possible."""
        options = self.options
        (self.work / FIFOS_FILE).unlink(missing_ok=True)  # of an earlier try
        if options.fifo_depths != SIMULATED:
            return compiled
        with self.watch.during("FIFO depths from RTL simulation") as say:
            try:
                sized = size_fifos(
                    compiled,
                    self.work / RTL_FOLDER,
                    frames.codes[:SIZING_FRAMES],
                    self.cache,
                    stall=options.stall,
                    seed=options.seed,
                )
            except ToolMissingError as error:
                say(f"{error.what}: depths by the lags of branches")
                return compiled
            sized.save(self.work)
            say(sized.sentence())
        return dataclasses.replace(compiled, design=sized.design)

    def _wishes(self) -> list[FoldingConstraint]:
        return [] if self.options.folding is None else read_folding(self.options.folding)

    def _synthesized(self, design: Design) -> Resources | None:
        from qdeploy.synth.synthesize import synthesize

        if not self.options.synthesis:
            return None
        with self.watch.during("synthesis with Yosys") as say:
            try:
                resources = synthesize(
                    self.work / RTL_FOLDER,
                    design,
                    self.work / SYNTH_FOLDER,
                    self.board,
                    store=self.cache / "modules",
                    note=lambda text: progress.say(f"note: {text}"),
                )
            except ToolMissingError as error:
                say(f"skipped: {error.what}")
                return None
            total = resources.total
            say(f"{total.lut:,} LUT, {total.ff:,} FF, {total.bram36:g} BRAM36, {total.dsp} DSP")
        return resources

    def _look_ahead(self, graph: IntegerGraph, compiled: Compiled) -> None:
        """Estimates of every layer, and what larger boards would give."""
        source = graph.tensors[graph.input]
        with self.watch.during("estimates, larger boards") as say:
            write_estimates(self.work, compiled.hardware, self.board.part, load_costs())
            bits = source.size * source.dtype.bits
            say(write_boards(self.work, compiled.folding, bits, self.board))

    def _ladder(self, graph: IntegerGraph, frames: Frames) -> list[Rung]:
        levels = Levels(
            self.work,
            graph,
            self.source.network,
            frames.codes,
            self.cache,
            rtl_frames=self.options.rtl_frames,
            stall=self.options.stall,
            seed=self.options.seed,
        )
        rungs = climb(
            levels,
            require=self.options.require,
            skip=self.options.skip,
            report=self.watch.rung,
        )
        write_verify(self.work, rungs)
        return rungs

    def _record(
        self,
        graph: IntegerGraph,
        frames: Frames,
        found: Mapping[str, float],
        resources: Resources | None,
    ) -> None:
        if self.source.recipe_file is not None:
            shutil.copy(self.source.recipe_file, self.work / "recipe.yaml")
        write_json(
            self.work / BUILD_FILE,
            {
                "name": self.source.name,
                "options": self.options.record(),
                "frames": frames.source,
                "accuracy_int": found.get("accuracy"),
                "miou_int": found.get("mIoU"),
                "synthesized": resources is not None,
                "fifo_depths": SIMULATED if (self.work / FIFOS_FILE).exists() else ANALYTIC,
                "logit_scale": float(graph.logit_scale),
                "files": {
                    name: sha256(self.work / name) for name in (QONNX_FILE, INT_FILE, HARDWARE_FILE)
                },
                **provenance.record(),
            },
        )

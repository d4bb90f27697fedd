"""From the integer graph to a stitched design: the whole dataflow stage in order.

integer graph -> FINN dialect -> hardware layers -> RTL backends -> folding
              -> width converters and FIFOs -> stitched Verilog
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.artifacts import atomic_path
from qdeploy.build_folder import FOLDING_FILE, HARDWARE_FILE
from qdeploy.dataflow.cost.blocks import BlockCosts, load_costs
from qdeploy.dataflow.fifos.sites import FifoSite, fifo_sites, insert_fifos
from qdeploy.dataflow.finn.binary_units import mark_binary_units
from qdeploy.dataflow.finn.exact_types import set_exact_types
from qdeploy.dataflow.finn.fit_requantization import fit_requantization
from qdeploy.dataflow.finn.graph import to_finn
from qdeploy.dataflow.finn.hw_layers import name_nodes, to_hw_layers
from qdeploy.dataflow.finn.loadable import mark_loadable
from qdeploy.dataflow.finn.models import copy_of, with_inferred_types, with_width_converters
from qdeploy.dataflow.finn.specialize import despecialize, specialize
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.file import FoldingConstraint, write_folding
from qdeploy.dataflow.folding.fold import Folding
from qdeploy.dataflow.folding.infeasible import over_budget
from qdeploy.dataflow.folding.multi_pixel import fold_multi_pixel
from qdeploy.dataflow.rates import cycles_for, cycles_to_arrive
from qdeploy.dataflow.stitching.rendering import Renderer
from qdeploy.dataflow.stitching.stitch import stitch
from qdeploy.design.manifest import Design
from qdeploy.devices.boards import Board
from qdeploy.devices.families import find_family
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.ir.rules import check_graph

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper


@dataclass(frozen=True)
class Compiled:
    """Result of `compile_graph`.

    Args:
        design: stitched, with FIFOs as deep as the skews of the branches say.
        hardware: FINN's hardware layers it was stitched from.
        folding: of these layers.
        joined: the layers with width converters, without FIFOs.
        graph, board, clock_mhz: what it was compiled from and for.
        renderer: of the layers, which stay the same when FIFOs change.
        costs: measured costs of blocks that the folding was chosen by.
    """

    design: Design
    hardware: ModelWrapper
    folding: Folding
    joined: ModelWrapper
    graph: IntegerGraph
    board: Board
    clock_mhz: float
    renderer: Renderer
    costs: BlockCosts

    def fifo_sites(self) -> list[FifoSite]:
        """Where FIFOs may be inserted."""
        return fifo_sites(self.joined)

    def stitched(self, folder: Path, depths: Mapping[str, int]) -> Design:
        """The design once more, with FIFOs of other depths, written to `folder`.

        Args:
            depths: stream -> depth of its FIFO, 0 for none.
        """
        model = with_fifos(self.joined, depths)
        return stitch(model, self.graph, folder, self.board, self.clock_mhz, renderer=self.renderer)

    def for_sizing(self, folder: Path) -> Design:
        """A variant for simulation only: a deep FIFO at every site, its depth limited at run time;
        no boundary is watched."""
        model = with_fifos(self.joined, limited=True)
        return stitch(
            model,
            self.graph,
            folder,
            self.board,
            self.clock_mhz,
            taps=False,
            renderer=self.renderer,
        )


def hardware_layers(graph: IntegerGraph, *, loadable: bool = False) -> ModelWrapper:
    """FINN's hardware layers with exact widths and qdeploy's RTL backends, not yet folded.

    Args:
        loadable: weights and thresholds are written at run time: no unit depends on their values.

    Raises:
        UnsupportedLayerError: a layer has no hardware unit.
    """
    model = set_exact_types(specialize(to_hw_layers(to_finn(graph))), graph)
    model = mark_binary_units(model)
    if loadable:
        model = mark_loadable(model)
    model = fit_requantization(model, graph)
    return with_inferred_types(model)  # FINN's own operators know no exact sums


def compile_graph(
    graph: IntegerGraph,
    board: Board,
    folder: Path,
    *,
    clock_mhz: float | None = None,
    fps: float | None = None,
    constraints: Sequence[FoldingConstraint] = (),
    most: Mapping[str, int | None] | None = None,
    reserved: Mapping[str, float] | None = None,
    widest_beat: int | None = None,
    costs: BlockCosts | None = None,
    loadable: bool = False,
) -> Compiled:
    """Make the design folder `folder` (replaced as a whole).

    Args:
        clock_mhz: the core's clock; the board's default when None.
        fps: frames per second to reach; None folds as fast as the board holds.
        constraints: per-layer constraints of a folding file.
        most: the most that the design may use, as `Budget.of` takes it.
        widest_beat: bytes of a beat of the design's input and output at most.
        reserved: how much of the board the folding leaves free, see `Budget.without`.
        costs: measured costs of blocks; those that the board's family uses when None.
        loadable: weights and thresholds are written at run time, through a stream of the design;
            `graph` is one of `ir.any_weights`.

    Raises:
        FoldingError: no folding reaches the rate or fits the board.
        DoesNotFitError: by estimate the design uses more than is allowed, or far more than there
            is.
        UnsupportedLayerError: a layer has no hardware unit.
        PassError: the graph breaks a rule of its own, such as thresholds that do not ascend.
    """
    check_graph(graph)
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    arriving = cycles_to_arrive(graph, board)
    cycles = None if fps is None else cycles_for(fps, clock, arriving)
    costs = costs or load_costs(find_family(board.family).costs)
    budget = Budget.of(board, most).without(reserved or {})
    hardware, folding = fold_multi_pixel(
        hardware_layers(graph, loadable=loadable),
        budget,
        cycles,
        min_cycles=arriving,
        widest_beat=widest_beat,
        constraints=constraints,
        costs=costs,
        clock_mhz=clock,
    )
    if budget.most and not folding.solution.usage.within(budget.limit()):
        raise over_budget(folding.solution, budget)  # who sets a limit wants it kept
    write_folding(folder.parent / FOLDING_FILE, folding.attributes)
    with atomic_path(folder.parent / HARDWARE_FILE) as temporary:
        despecialize(hardware).save(str(temporary))
    joined = with_converters(hardware)
    renderer = Renderer()
    design = stitch(with_fifos(joined), graph, folder, board, clock, renderer=renderer)
    return Compiled(design, hardware, folding, joined, graph, board, clock, renderer, costs)


def connect(hardware: ModelWrapper) -> ModelWrapper:
    """A copy with width converters and FIFOs between the layers, all specialized and named."""
    return with_fifos(with_converters(hardware))


def with_converters(hardware: ModelWrapper) -> ModelWrapper:
    """A copy with width converters between the layers, all specialized and named."""
    model = specialize(with_width_converters(hardware))
    name_nodes(model)
    return model


def with_fifos(
    joined: ModelWrapper, depths: Mapping[str, int] | None = None, *, limited: bool = False
) -> ModelWrapper:
    """A copy with FIFOs, as `insert_fifos` takes depths and `limited`, specialized and named."""
    model = copy_of(joined)
    insert_fifos(model, depths, limited=limited)
    return specialize(model)

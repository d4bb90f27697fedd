"""Mixed precision: a width for each layer by sensitivity, priced by the folding at a frame rate.

    sensitivities  of the float network, on training images
    prices         of every width of every layer, as hardware at the rate
    allocation     the least sum of sensitivities within the LUTs
    design         the chosen widths compiled and folded as a whole: what lies between the layers
                   (width converters, FIFOs) is counted, and the allocation repeated with it

Uniform widths are designed the same way, for comparison; one of them is taken where no mixture is
better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.cost.blocks import BlockCosts, load_costs
from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.folding.multi_pixel import fold_multi_pixel
from qdeploy.dataflow.folding.solver import Solution
from qdeploy.dataflow.rates import cycles_for, cycles_to_arrive
from qdeploy.devices.families import find_family
from qdeploy.errors import DoesNotFitError, FoldingError, UserError
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.lowering.from_torch.trial import lower_as_trial
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.layer_widths import Operand
from qdeploy.search.allocation import allocate
from qdeploy.search.room import Room
from qdeploy.search.width_prices import WidthPrices, Widths
from qdeploy.training.analysis.sensitivity import Sensitivities
from qdeploy.training.candidate_widths import CandidateWidths

# Allocations, each with the overhead of the design before it.
ROUNDS = 8


@dataclass(frozen=True)
class Design:
    """Widths as hardware.

    Args:
        widths: of every operand.
        sensitivity: their sum.
        usage: of the whole design; None where no folding keeps up with the rate.
        fits: whether it is within the limit.
        layers: layer with weights -> LUTs of its unit and of what moves its pixels.
    """

    widths: Widths
    sensitivity: float
    usage: ResourceUsage | None
    fits: bool
    layers: Mapping[str, int]


@dataclass(frozen=True)
class BitChoice:
    """The widths that were chosen, and what they were chosen from.

    Args:
        mixed: the choice.
        own: with the recipe's widths.
        uniform: bits -> all operands at that width.
        cycles: per frame at most.
        limit: what a design may use.
        proven: whether the last allocation was the best for the prices it had.
    """

    mixed: Design
    own: Design
    uniform: Mapping[int, Design]
    cycles: int
    limit: ResourceUsage
    proven: bool


def choose_bits(
    candidates: CandidateWidths,
    sensitivities: Sensitivities,
    widths: Sequence[int],
    room: Room,
    shape: tuple[int, ...],
    observer: Observer = SILENT,
) -> BitChoice:
    """Choose a width for every operand.

    Args:
        sensitivities: as measured on the candidates.
        widths: bits to choose from.
        shape: of the network's input, without the batch axis.
        observer: gets the progress.

    Raises:
        UserError: there are not as many LUTs on the board.
        FoldingError: the rate is none, or nothing keeps up with it.
        DoesNotFitError: no choice fits; says what would.
    """
    return _Search(candidates, sensitivities, widths, room, shape).run(observer)


class _Search:
    def __init__(
        self,
        candidates: CandidateWidths,
        sensitivities: Sensitivities,
        widths: Sequence[int],
        room: Room,
        shape: tuple[int, ...],
    ) -> None:
        self.candidates, self.sensitivities = candidates, sensitivities
        self.widths, self.room, self.shape = sorted(set(widths)), room, shape
        self.costs: BlockCosts = load_costs(find_family(room.board.family).costs)
        self.limit = room.limit
        cycles = self._cycles()
        self.prices = WidthPrices(
            self._lowered, candidates.own, cycles, self.limit, self.costs, room.widest_beat
        )
        self.designs: dict[tuple[tuple[Operand, int], ...], Design] = {}

    def run(self, observer: Observer) -> BitChoice:
        self.prices.learn(self.widths, observer)
        own = self._design(self.candidates.own)
        uniform = {
            bits: self._design(dict.fromkeys(self.candidates.own, bits)) for bits in self.widths
        }
        self.designs = {self._key(one.widths): one for one in uniform.values()}
        proven = self._mix(observer)
        fitting = [one for one in self.designs.values() if one.fits]
        if not fitting:
            raise self._refusal(uniform[self.widths[0]])
        best = min(fitting, key=lambda one: (one.sensitivity, one.usage.lut if one.usage else 0))
        return BitChoice(best, own, uniform, self.prices.cycles, self.limit, proven)

    def _mix(self, observer: Observer) -> bool:
        """Design mixtures; whether the last one is the best for the prices it had."""
        choices = {
            operand: {bits: by_width[bits] for bits in self.widths}
            for operand, by_width in self.sensitivities.items()
        }
        between, proven = ResourceUsage(), True
        with observer.meter("mixtures", None, "designs") as meter:
            for _ in range(ROUNDS):
                left = _minus(self.limit, between)
                found = allocate(choices, self.prices.tables(self.widths), left)
                if found is None or self._key(found.widths) in self.designs:
                    break
                design = self._design(found.widths)
                self.designs[self._key(found.widths)] = design
                proven = found.proven
                if design.usage is None:
                    break
                between = _minus(design.usage, self.prices.predicted(found.widths))
                meter.advance()
        return proven

    def _design(self, widths: Widths) -> Design:
        total = sum(self.sensitivities[operand][bits] for operand, bits in widths.items())
        try:
            solution = self.prices.design(widths)
        except FoldingError:
            return Design(widths, total, None, False, {})
        layers = {
            layer: solution.picked[group].usage.lut
            for layer, group in self.prices.weight_groups.items()
        }
        return Design(widths, total, solution.usage, solution.usage.within(self.limit), layers)

    def _lowered(self, widths: Widths) -> IntegerGraph:
        return lower_as_trial(self.candidates.mixed(widths), self.shape)

    def _cycles(self) -> int:
        """Per frame at most, by the rate or by what the recipe's own widths reach."""
        graph = self._lowered(self.candidates.own)
        arriving = cycles_to_arrive(graph, self.room.board)
        if self.room.fps is not None:
            return cycles_for(self.room.fps, self.room.clock, arriving)
        try:
            return self._fastest(graph).cycles
        except FoldingError as error:
            raise DoesNotFitError(
                f"with its own widths the network does not fit {self.limit.lut:,} LUTs at any rate",
                where=error.where,
                why="without a rate, that of these widths is the one to keep up with",
                do="give a rate with --fps, allow more LUTs, or choose a larger board",
            ) from error

    def _fastest(self, graph: IntegerGraph) -> Solution:
        _, folding = fold_multi_pixel(
            hardware_layers(graph),
            self.room.budget,
            min_cycles=cycles_to_arrive(graph, self.room.board),
            widest_beat=self.room.widest_beat,
            costs=self.costs,
            clock_mhz=self.room.clock,
        )
        return folding.solution

    def _refusal(self, least: Design) -> UserError:
        rate = self.room.clock * 1e6 / self.prices.cycles
        fewest = self.widths[0]
        if least.usage is None:
            return FoldingError(
                f"no widths keep up with {rate:,.0f} frames per second",
                where="--fps",
                do="ask for a lower rate, or leave it out",
            )
        ways = [f"allow more with --max-lut ({least.usage.lut:,} LUTs suffice here)"]
        try:
            graph = self._lowered(dict.fromkeys(self.candidates.own, fewest))
            slower = self._fastest(graph).cycles
        except FoldingError:
            slower = 0
        if slower:
            reached = self.room.clock * 1e6 / slower
            ways.append(f"ask for at most --fps {_rounded_down(reached)}")
        boards = self.room.budget.fit(least.usage).other_boards(self.room.board.name)
        if boards:
            ways.append(boards)
        ways.append(f"add candidates of fewer than {fewest} bits, or use a smaller network")
        over = {
            kind: f"{getattr(least.usage, kind):,} {kind.upper()} of {getattr(self.limit, kind):,}"
            for kind in KINDS
            if getattr(least.usage, kind) > getattr(self.limit, kind)
        }
        return DoesNotFitError(
            f"no widths of {', '.join(map(str, self.widths))} bits fit at {rate:,.0f} frames per "
            "second",
            why=f"with {fewest} bits everywhere the design uses {', '.join(over.values())}",
            do="; ".join(ways),
        )

    @staticmethod
    def _key(widths: Widths) -> tuple[tuple[Operand, int], ...]:
        return tuple(sorted(widths.items()))


def _minus(one: ResourceUsage, other: ResourceUsage) -> ResourceUsage:
    return ResourceUsage(*(getattr(one, kind) - getattr(other, kind) for kind in KINDS))


def _rounded_down(rate: float) -> str:
    """A rate that is reached for certain, in few digits."""
    digits = 10 ** max(0, len(str(int(rate))) - 3)
    return str(int(rate) // digits * digits) if rate >= 1 else f"{rate:.3g}"

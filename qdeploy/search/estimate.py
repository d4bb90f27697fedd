"""What a network would cost on a board, and how fast it would be: before it is built or trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.cost.blocks import load_costs
from qdeploy.dataflow.cost.usage import ResourceUsage
from qdeploy.dataflow.finn.nodes import layer_groups
from qdeploy.dataflow.folding.multi_pixel import fold_multi_pixel
from qdeploy.dataflow.rates import cycles_for, cycles_to_arrive
from qdeploy.devices.families import find_family
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.search.room import Room

if TYPE_CHECKING:
    from qdeploy.recipe.models import Recipe


@dataclass(frozen=True)
class LayerEstimate:
    """One layer with what moves its pixels.

    Args:
        name: of its unit.
        folding: attributes of the unit, such as PE and SIMD.
        cycles: per frame.
        usage: resources.
    """

    name: str
    folding: Mapping[str, int | str]
    cycles: int
    usage: ResourceUsage


@dataclass(frozen=True)
class Estimate:
    """A network on a board.

    Args:
        room: where it has to go.
        layers: in the order of the stream.
        cycles: per frame; `arriving`: in which a frame arrives through the DMA.
        usage: of all layers, and what connects them.
        optimal: whether no folding within the limit is faster, for certain.
    """

    room: Room
    layers: tuple[LayerEstimate, ...]
    cycles: int
    arriving: int
    usage: ResourceUsage
    optimal: bool

    @property
    def fps(self) -> float:
        """Frames per second: of the slowest layer, or as they arrive."""
        return self.room.clock * 1e6 / max(self.cycles, self.arriving)

    @property
    def fits(self) -> bool:
        """Whether it is within the limit."""
        return self.usage.within(self.room.limit)

    @property
    def excess(self) -> str:
        """What is exceeded and by how much, for people; empty where it fits."""
        return self.room.budget.fit(self.usage).excess()

    @property
    def slowest(self) -> LayerEstimate:
        """The layer that sets the rate."""
        return max(self.layers, key=lambda layer: layer.cycles)


def estimate(graph: IntegerGraph, room: Room) -> Estimate:
    """Fold the network into the room, and add up what its blocks cost.

    Args:
        graph: of any weights: those decide how large sums made of logic are.
        room: the fastest folding that fits is picked where it names no rate, else the smallest.

    Raises:
        FoldingError: no folding is that fast, or not even the slowest fits.
        DoesNotFitError: at that rate it is far too large.
        UnsupportedLayerError: a layer has no hardware unit.
    """
    arriving = cycles_to_arrive(graph, room.board)
    cycles = None if room.fps is None else cycles_for(room.fps, room.clock, arriving)
    model, folding = fold_multi_pixel(
        hardware_layers(graph),
        room.budget,
        cycles,
        min_cycles=arriving,
        widest_beat=room.widest_beat,
        costs=load_costs(find_family(room.board.family).costs),
        clock_mhz=room.clock,
    )
    solution = folding.solution
    layers = []
    for members in layer_groups(model):
        name = members[-1].name
        option = solution.picked[name]
        layers.append(
            LayerEstimate(name, option.attributes.get(name, {}), option.cycles, option.usage)
        )
    return Estimate(
        room, tuple(layers), solution.cycles, arriving, solution.usage, solution.optimal
    )


def untrained(recipe: Recipe, *, argmax: bool = False) -> IntegerGraph:
    """The integers of a recipe's network with random weights, quantized as training begins.

    Ternary weights then have the share of zeros that their quantizers give normal distributions.

    Args:
        argmax: end in the class.

    Raises:
        RecipeError: as `build_network`.
        UnsupportedLayerError: a layer cannot become hardware.
    """
    from qdeploy.lowering.from_torch.trial import lower_as_trial
    from qdeploy.networks.calibrated import calibrated_random

    network = calibrated_random(recipe, recipe.seed)
    return lower_as_trial(network, network.input_shape, argmax=argmax)  # type: ignore[arg-type]

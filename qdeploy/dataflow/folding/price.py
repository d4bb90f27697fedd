"""What the layers of a network cost at a frame rate: the price of their bit widths.

A group's price is the usage of its cheapest folding that keeps up with the rate, cheapest by the
sum of the shares of the limit, as the solver counts. What lies between groups (width converters,
FIFOs) is part of the whole design's usage only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdeploy.dataflow.cost.blocks import BlockCosts
from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.finn.nodes import layer_groups
from qdeploy.dataflow.folding.multi_pixel import with_enough_pixels
from qdeploy.dataflow.folding.options import SearchSpace, search_space, within_beat
from qdeploy.dataflow.folding.solver import Solution, solve
from qdeploy.errors import FoldingError
from qdeploy.ir.integer_graph import Conv, Dense, IntegerGraph, Node, Threshold

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Multiples of the limit up to which a design that exceeds it is told its size.
MOST_DOUBLINGS = 12


@dataclass(frozen=True)
class LayerGroupWidths:
    """The layers whose widths decide what a group costs.

    Args:
        weights: the layer of its weights, None where it has none.
        inputs: layers of the quantizers whose codes it reads.
        output: layer of the quantizer that is part of it, None where there is none.
    """

    weights: str | None
    inputs: tuple[str, ...]
    output: str | None


@dataclass(frozen=True)
class RatePrices:
    """A network's hardware at a frame rate.

    Args:
        groups: group -> its price, None where no folding keeps up.
        widths: group -> what its price depends on.
        space: all foldings.
        cycles: per frame at most.
    """

    groups: Mapping[str, ResourceUsage | None]
    widths: Mapping[str, LayerGroupWidths]
    space: SearchSpace
    cycles: int

    def design(self, limit: ResourceUsage) -> Solution:
        """The smallest folding of the whole network, which may exceed the limit.

        Raises:
            FoldingError: no folding is that fast.
        """
        slow = [name for name, usage in self.groups.items() if usage is None]
        if slow:
            raise FoldingError(
                f"layer `{slow[0]}` cannot finish a frame within {self.cycles} cycles",
                why="its most parallel folding is slower",
                do="ask for a lower rate, or leave the rate out: as fast as fits",
            )
        for doubling in range(MOST_DOUBLINGS):
            most = ResourceUsage(*(getattr(limit, kind) << doubling for kind in KINDS))
            found = solve(self.space.groups, self.space.edges, most, self.cycles)
            if found is not None:
                return found
        raise FoldingError(
            f"the design for {self.cycles} cycles per frame is beyond every board",
            do="ask for a lower rate",
        )


def rate_prices(
    model: ModelWrapper,
    graph: IntegerGraph,
    cycles: int,
    limit: ResourceUsage,
    costs: BlockCosts,
    widest_beat: int | None = None,
) -> RatePrices:
    """Price the hardware layers of a graph at a rate.

    Args:
        model: hardware layers of `graph`, not yet folded; left alone.
        cycles: per frame at most.
        limit: what the design may use; weighs the kinds of resources against each other.
        costs: measured costs of blocks.
        widest_beat: as in `fold`.

    Raises:
        FoldingError: a layer has no folding whose beats the host can send and take.
    """
    wide = with_enough_pixels(model, cycles)
    space = search_space(wide, costs)
    if widest_beat is not None:
        space = within_beat(space, wide, widest_beat)
    prices: dict[str, ResourceUsage | None] = {}
    for group in space.groups:
        fast = [option.usage for option in group.options if option.cycles <= cycles]
        prices[group.name] = min(fast, key=lambda usage: _shares(usage, limit), default=None)
    return RatePrices(prices, _widths(wide, graph), space, cycles)


def _shares(usage: ResourceUsage, limit: ResourceUsage) -> float:
    # LUTs that are memory are among the LUTs already.
    return sum(getattr(usage, kind) / max(1, getattr(limit, kind)) for kind in KINDS[:4])


def _widths(model: ModelWrapper, graph: IntegerGraph) -> dict[str, LayerGroupWidths]:
    nodes = {node.name: node for node in graph.nodes}
    makers = {node.output: node for node in graph.nodes}
    found = {}
    for members in layer_groups(model):
        unit = members[-1]
        node = nodes.get(unit.layer)
        if node is None:  # a fork of the input, or what leads to the output only
            found[unit.name] = LayerGroupWidths(None, (), None)
            continue
        weights = node.layer if isinstance(node, Conv | Dense) and unit.has_weights else None
        output = node.layer if isinstance(node, Threshold) else _quantizer_of(node, graph)
        found[unit.name] = LayerGroupWidths(weights, _read(node, makers), output)
    return found


def _quantizer_of(node: Node, graph: IntegerGraph) -> str | None:
    """The layer of the quantizer that alone takes the node's sums."""
    takers = [one for one in graph.nodes if node.output in one.inputs]
    return takers[0].layer if len(takers) == 1 and isinstance(takers[0], Threshold) else None


def _read(node: Node, makers: Mapping[str, Node]) -> tuple[str, ...]:
    """Layers of the quantizers whose codes, or sums of them, a node reads."""
    found: list[str] = []
    pending = list(node.inputs)
    while pending:
        maker = makers.get(pending.pop())
        if isinstance(maker, Threshold):
            found.append(maker.layer)
        elif maker is not None and not isinstance(maker, Conv | Dense):
            pending += maker.inputs
    return tuple(sorted(set(found)))

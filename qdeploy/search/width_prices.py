"""What every width of every layer costs in hardware, learned from a few compilations.

The price of a group of hardware layers depends on the widths of its weights, of the codes that it
reads and of the codes that it makes. All groups are priced at once by compiling the network with

    one width for all weights, and two widths for activations, by a two-coloring of the quantizers:
    where a group reads the one color and makes the other, every pair of widths occurs

so W·A² compilations price W widths of weights and A of activations, however deep the network is.
Where two quantizers of a color meet in one group, pairs of different widths are missing: they count
as the dearer of the two that are known, until a whole design with such a pair has been compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product

from qdeploy.dataflow.compile import hardware_layers
from qdeploy.dataflow.cost.blocks import BlockCosts
from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.folding.price import LayerGroupWidths, RatePrices, rate_prices
from qdeploy.dataflow.folding.solver import Solution
from qdeploy.ir.integer_graph import IntegerGraph
from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.layer_widths import Operand
from qdeploy.search.allocation import PriceTable

Widths = Mapping[Operand, int]
WEIGHTS = 2


class WidthPrices:
    """Prices of groups by widths, and of whole designs.

    Args:
        lowered: makes the integer graph of the network with given widths.
        own: every operand with its width in the recipe.
        cycles: per frame at most.
        limit: what the design may use.
        costs: measured costs of blocks.
        widest_beat: as in `fold`.
    """

    def __init__(
        self,
        lowered: Callable[[Widths], IntegerGraph],
        own: Widths,
        cycles: int,
        limit: ResourceUsage,
        costs: BlockCosts,
        widest_beat: int | None = None,
    ) -> None:
        self._lowered, self._own = lowered, own
        self.cycles, self.limit = cycles, limit
        self._costs, self._widest_beat = costs, widest_beat
        self._operands: dict[str, tuple[Operand, ...]] = {}
        self._known: dict[str, dict[tuple[int, ...], ResourceUsage | None]] = {}
        # Hardware of widths that designs are asked for again: the recipe's, and uniform ones.
        self._kept: dict[tuple[tuple[Operand, int], ...], RatePrices] = {}
        self.weight_groups: dict[str, str] = {}

    def learn(self, candidates: Sequence[int], observer: Observer = SILENT) -> None:
        """Price all groups at all widths.

        Raises:
            UnsupportedLayerError: a layer has no hardware unit.
        """
        first = self.compiled(self._own)
        color = _two_coloring(first.widths.values(), self._own)
        mixtures = list(_mixtures(color, candidates))
        for widths in observer.track(mixtures, "price widths", unit="designs"):
            self.compiled(widths)

    def compiled(self, widths: Widths) -> RatePrices:
        """The hardware with these widths; its groups' prices are known afterwards."""
        number = tuple(widths.items())
        if number in self._kept:
            return self._kept[number]
        graph = self._lowered(widths)
        layers = hardware_layers(graph)
        found = rate_prices(layers, graph, self.cycles, self.limit, self._costs, self._widest_beat)
        for group, usage in found.groups.items():
            operands = _operands(found.widths[group], self._own)
            weights = found.widths[group].weights
            if weights is not None:
                self.weight_groups[weights] = group
            self._operands.setdefault(group, operands)
            key = tuple(widths[operand] for operand in self._operands[group])
            self._known.setdefault(group, {})[key] = usage
        if widths == self._own or len(set(widths.values())) == 1:
            self._kept[number] = found
        return found

    def design(self, widths: Widths) -> Solution:
        """The smallest design with these widths, which may exceed the limit.

        Raises:
            FoldingError: none keeps up with the rate.
        """
        return self.compiled(widths).design(self.limit)

    def tables(self, candidates: Sequence[int]) -> list[PriceTable[Operand]]:
        """The prices of all groups."""
        found = []
        for group, operands in self._operands.items():
            rows = {}
            for key in product(candidates, repeat=len(operands)):
                usage = self._price(group, key)
                if usage is not None:
                    rows[key] = usage
            found.append(PriceTable(operands, rows))
        return found

    def predicted(self, widths: Widths) -> ResourceUsage:
        """The sum of the prices of the groups."""
        total = ResourceUsage()
        for group, operands in self._operands.items():
            usage = self._price(group, tuple(widths[operand] for operand in operands))
            total += usage or ResourceUsage()
        return total

    def _price(self, group: str, key: tuple[int, ...]) -> ResourceUsage | None:
        """As measured, or the most of what is known with one width for all activations."""
        known = self._known[group]
        if key in known:
            return known[key]
        kinds = [operand.key for operand in self._operands[group]]
        codes = {bits for bits, kind in zip(key, kinds, strict=True) if kind == "activation_bits"}
        near = []
        for bits in codes:
            even = (
                bits if kind == "activation_bits" else own
                for own, kind in zip(key, kinds, strict=True)
            )
            near.append(known.get(tuple(even)))
        usages = [usage for usage in near if usage is not None]
        if not usages or len(usages) < len(near):
            return None
        return ResourceUsage(*(max(getattr(one, kind) for one in usages) for kind in KINDS))


def _operands(widths: LayerGroupWidths, own: Widths) -> tuple[Operand, ...]:
    found = [] if widths.weights is None else [Operand(widths.weights, "weight_bits")]
    codes = [*widths.inputs, *([] if widths.output is None else [widths.output])]
    found += [Operand(layer, "activation_bits") for layer in dict.fromkeys(codes)]
    return tuple(operand for operand in found if operand in own)


def _two_coloring(groups: Iterable[LayerGroupWidths], own: Widths) -> dict[Operand, int]:
    """Color 0 or 1 of each quantizer, so that those which meet in a group differ where possible;
    2 for weights."""
    meets: dict[Operand, set[Operand]] = {one: set() for one in own if one.key == "activation_bits"}
    for group in groups:
        output = Operand(group.output or "", "activation_bits")
        for layer in group.inputs:
            one = Operand(layer, "activation_bits")
            if one in meets and output in meets and one != output:
                meets[one].add(output)
                meets[output].add(one)
    color: dict[Operand, int] = dict.fromkeys(own, WEIGHTS)
    visited: set[Operand] = set()
    for start in meets:
        pending = [(start, 0)]
        while pending:
            one, shade = pending.pop()
            if one not in visited:
                visited.add(one)
                color[one] = shade
                pending += [(other, 1 - shade) for other in sorted(meets[one])]
    return color


def _mixtures(color: Mapping[Operand, int], candidates: Sequence[int]) -> Iterator[Widths]:
    """All the widths to compile: one for each color."""
    colors = sorted(set(color.values()))
    for chosen in product(candidates, repeat=len(colors)):
        bits = dict(zip(colors, chosen, strict=True))
        yield {operand: bits[shade] for operand, shade in color.items()}

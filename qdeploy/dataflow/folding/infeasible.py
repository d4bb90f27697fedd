"""Where no folding fits: how far the nearest one is from the board, and what would fit.

nearest   the folding that fits the smallest multiple of what is usable of the board
bits      the widest weights with which that same folding is estimated to fit
boards    those it is estimated to fit as it is
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qdeploy.dataflow.cost.blocks import BlockCosts
from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.finn.nodes import HwNode, hw_nodes
from qdeploy.dataflow.folding.budget import Budget
from qdeploy.dataflow.folding.solver import Solution
from qdeploy.devices.fit import FLAGS, LayerUse
from qdeploy.errors import DoesNotFitError, QDeployError

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

# Multiples of the board beyond this are not told apart, and a multiple is found to this part.
MOST = 1024.0
PRECISION = 1.02
NARROWEST = 2


def nearest(solved: Callable[[float], Solution | None]) -> Solution | None:
    """The folding that fits the smallest multiple of the board.

    Args:
        solved: the smallest folding within a multiple of what is usable, None where none is.

    Returns:
        None where not even `MOST` times the board suffices.
    """
    low, high = 1.0, 2.0
    found = solved(high)
    while found is None and high < MOST:
        low, high = high, high * 2
        found = solved(high)
    while found is not None and high > low * PRECISION:
        middle = (low * high) ** 0.5
        better = solved(middle)
        if better is None:
            low = middle
        else:
            high, found = middle, better
    return found


def biggest(solution: Solution, budget: Budget) -> str:
    """The layers that use most of what is exceeded most."""
    layers = [
        LayerUse(f"`{name}`", option.usage.used(), option.attributes[name])
        for name, option in solution.picked.items()
    ]
    return budget.fit(solution.usage).biggest(layers)


def excess(solution: Solution, budget: Budget) -> str:
    """What a folding uses too much of, in a sentence."""
    found = budget.fit(solution.usage).excess() or "more of several kinds at once"
    return f"the folding nearest to fitting uses {found}"


def advice(model: ModelWrapper, costs: BlockCosts, solution: Solution, budget: Budget) -> str:
    """What would fit: fewer bits, another board, or neither."""
    bits = fitting_bits(model, costs, solution, budget.limit())
    parts = []
    if bits is not None:
        parts.append(f"with weights of at most {bits} bits this folding is estimated to fit")
    more = _allow_more(solution, budget)
    if more:
        parts.insert(0, more)
    boards = "" if budget.most else budget.fit(solution.usage).other_boards()
    if boards:
        parts.append(boards)
    if bits is None and not more:
        parts.append("weights of fewer bits alone do not help: use a smaller network")
    return "; ".join(parts)


def over_budget(solution: Solution, budget: Budget) -> DoesNotFitError:
    """What to say of a folding that uses a little more than `budget.most` allows."""
    return DoesNotFitError(
        "by estimate the design uses more than is allowed",
        where=biggest(solution, budget),
        why=excess(solution, budget),
        do=f"{_allow_more(solution, budget) or 'allow more'}; or ask for a lower rate",
    )


def _allow_more(solution: Solution, budget: Budget) -> str:
    """The limits that would suffice, where the board itself is large enough."""
    needed = budget.fit(solution.usage).needed() if budget.most else {}
    flags = " ".join(f"--max-{FLAGS[kind]} {amount}" for kind, amount in needed.items())
    return f"allow more: {flags} is estimated to suffice" if flags else ""


def fitting_bits(
    model: ModelWrapper, costs: BlockCosts, solution: Solution, limit: ResourceUsage
) -> int | None:
    """The widest weights, in bits, with which the folding fits by the costs of its blocks.

    Wider weights are narrowed, the rest stays as it is: accumulators and thresholds would shrink
    too, so this errs on the safe side. None where no width does, or where it is not the weights.
    """
    nodes = [node for node in hw_nodes(model) if node.has_weights]
    widths = {node.name: int(node.instance.get_input_datatype(1).bitwidth()) for node in nodes}
    attributes: dict[str, dict[str, int | str]] = {}
    for option in solution.picked.values():
        attributes |= {name: dict(values) for name, values in option.attributes.items()}
    for bits in range(max(widths.values(), default=0) - 1, NARROWEST - 1, -1):
        usage = solution.usage
        try:
            for node in nodes:
                if widths[node.name] > bits:
                    usage = _plus(usage, _saved(model, node, attributes[node.name], bits, costs))
        except QDeployError:  # nobody measured such a block
            return None
        if usage.within(limit):
            return bits
    return None


def _saved(
    model: ModelWrapper,
    node: HwNode,
    attributes: dict[str, int | str],
    bits: int,
    costs: BlockCosts,
) -> dict[str, int]:
    """Change of a unit's usage, by kind, with narrower weights; the model stays as it is."""
    inst = node.instance
    for key, value in attributes.items():
        inst.set_nodeattr(key, value)
    original = inst.get_input_datatype(1).name
    found = []
    try:
        for kind in (original, f"INT{bits}"):
            inst.set_nodeattr("weightDataType", kind)
            blocks = [instance.block for instance in inst.unit(model).instances]
            found.append(costs.total((block.module, block.measures) for block in blocks))
    finally:
        inst.set_nodeattr("weightDataType", original)
    before, after = found
    return {kind: getattr(after, kind) - getattr(before, kind) for kind in KINDS}


def _plus(usage: ResourceUsage, change: dict[str, int]) -> ResourceUsage:
    return ResourceUsage(*(getattr(usage, kind) + change[kind] for kind in KINDS))

"""Where no folding fits: how far the nearest one is from the board, why, and what would fit.

nearest   the folding that fits the least multiple of what may be taken of the board
bits      the widest weights with which that same folding is estimated to fit
boards    those it is estimated to fit as it is
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qdeploy.dataflow.cost.blocks import BlockCosts
from qdeploy.dataflow.cost.usage import KINDS, ResourceUsage
from qdeploy.dataflow.folding.solver import Option, Solution
from qdeploy.devices.boards import list_boards, load_board
from qdeploy.errors import QDeployError

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

TITLES = {
    "lut": "LUTs",
    "ff": "flip-flops",
    "bram18": "BRAM18s",
    "dsp": "DSPs",
    "lutram": "LUTs as memory",
}
# Multiples of the board beyond this are not told apart, and a multiple is found to this part.
MOST = 1024.0
PRECISION = 1.02
SHOWN = 3
NARROWEST = 2
_UNITS = ("MVAU", "VVAU")


def nearest(solved: Callable[[float], Solution | None]) -> Solution | None:
    """The folding that fits the least multiple of the board.

    Args:
        solved: the least folding within a multiple of what may be taken, None where none is.

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


def over(usage: ResourceUsage, limit: ResourceUsage) -> dict[str, float]:
    """Kind of resource -> how many times what may be taken, for those exceeded; worst first."""
    ratios = {kind: getattr(usage, kind) / max(getattr(limit, kind), 1) for kind in KINDS}
    exceeded = {kind: ratio for kind, ratio in ratios.items() if ratio > 1}
    return dict(sorted(exceeded.items(), key=lambda item: -item[1]))


def why_infeasible(usage: ResourceUsage, limit: ResourceUsage) -> str:
    """What a folding needs too much of, in a sentence."""
    parts = [
        f"about {getattr(usage, kind):,} {TITLES[kind]} where {getattr(limit, kind):,} may be taken"
        f" ({ratio:.2f} times)"
        for kind, ratio in over(usage, limit).items()
    ]
    found = " and ".join(parts or ["more of several kinds at once"])
    return f"the folding that is nearest to fitting needs {found}"


def biggest(solution: Solution, limit: ResourceUsage) -> str:
    """The layers that take most of what is exceeded most, with their share of it."""
    kind = next(iter(over(solution.usage, limit)), "lut")
    whole = max(getattr(solution.usage, kind), 1)

    def size(item: tuple[str, Option]) -> int:
        return int(getattr(item[1].usage, kind))

    ranked = sorted(solution.picked.items(), key=size, reverse=True)[:SHOWN]
    return "biggest layers: " + "; ".join(
        f"{name} {dict(option.attributes[name])} with {size((name, option)):,} {TITLES[kind]}"
        f" ({size((name, option)) / whole:.0%})"
        for name, option in ranked
    )


def advice(model: ModelWrapper, costs: BlockCosts, solution: Solution, limit: ResourceUsage) -> str:
    """What would fit: fewer bits, another board, or neither."""
    bits = fitting_bits(model, costs, solution, limit)
    parts = []
    if bits is not None:
        parts.append(f"with weights of at most {bits} bits this folding is estimated to fit")
    boards = fitting_boards(solution.usage)
    if boards:
        parts.append(f"as it is it is estimated to fit on: {', '.join(boards)}")
    if bits is None:
        parts.append("fewer bits of the weights alone do not help: take a smaller network")
    return "; ".join(parts)


def fitting_boards(usage: ResourceUsage) -> list[str]:
    """Known boards that hold `usage` by estimate."""
    from qdeploy.dataflow.folding.budget import Budget

    found = []
    for name in list_boards():
        if not over(usage, Budget.of(load_board(name)).limit()):
            found.append(name)
    return found


def fitting_bits(
    model: ModelWrapper, costs: BlockCosts, solution: Solution, limit: ResourceUsage
) -> int | None:
    """The widest weights, in bits, with which the folding fits by the costs of its blocks.

    Wider weights are narrowed, the rest stays as it is: accumulators and thresholds would shrink
    too, so this errs on the safe side. None where no width does, or where it is not the weights.
    """
    from qonnx.custom_op.registry import getCustomOp

    nodes = [node for node in model.graph.node if node.op_type.startswith(_UNITS)]
    widths = {n.name: int(getCustomOp(n).get_input_datatype(1).bitwidth()) for n in nodes}
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
        if not over(usage, limit):
            return bits
    return None


def _saved(
    model: ModelWrapper,
    node: NodeProto,
    attributes: dict[str, int | str],
    bits: int,
    costs: BlockCosts,
) -> dict[str, int]:
    """Change of what a unit needs, by kind, with narrower weights; the model stays as it is."""
    from qonnx.custom_op.registry import getCustomOp

    inst = getCustomOp(node)
    for key, value in attributes.items():
        inst.set_nodeattr(key, value)
    kept = inst.get_nodeattr("weightDataType")
    found = []
    try:
        for kind in (kept, f"INT{bits}"):
            inst.set_nodeattr("weightDataType", kind)
            blocks = [instance.block for instance in inst.unit(model).instances]
            found.append(costs.total((block.module, block.measures) for block in blocks))
    finally:
        inst.set_nodeattr("weightDataType", kept)
    before, after = found
    return {kind: getattr(after, kind) - getattr(before, kind) for kind in KINDS}


def _plus(usage: ResourceUsage, change: dict[str, int]) -> ResourceUsage:
    return ResourceUsage(*(getattr(usage, kind) + change[kind] for kind in KINDS))

"""Chains of quantizers that hardware has as one table: what a float engine may make of them.

    sums -> quantizer A -> steps -> quantizer B        one Threshold; the codes of A are nowhere

Where a value is near an edge of A, the engine may have another code of A than exact arithmetic, and
with it one of B that is far from every edge of B. So the value that goes into A is moved by the
engine's error bound to either side; all steps are monotone, so what the engine has lies between.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from qdeploy.ir.integer_graph import IntArray
from qdeploy.verify.exact import ExactFile
from qdeploy.verify.exact_curves import CURVES
from qdeploy.verify.exact_elements import Exact

_STEPS = ("Mul", "Div", "Add", "Sub", "Neg", *CURVES)
# Of as many quantizers in a chain every combination of sides is looked at.
_MOST = 4


def is_coded(file: ExactFile, tensor: str) -> bool:
    """Whether a tensor is codes: of a quantizer, or what steps make of them."""
    return any(file.is_quantizer(name) for name in _chain(file, tensor))


def inner_quantizers(file: ExactFile, tensor: str) -> list[str]:
    """Quantizers that a tensor is made of, by steps alone, and whose codes are not given."""
    return [name for name in _chain(file, tensor) if file.is_quantizer(name)][:_MOST]


def reached(file: ExactFile, tensor: str, index: IntArray) -> list[Exact]:
    """Elements of a tensor with every combination of sides of the quantizers before it.

    Args:
        index: as of `ExactFile.elements`.
    """
    inner = inner_quantizers(file, tensor)
    found = []
    for sides in product((-1, 1), repeat=len(inner)):
        moved = file.moved(dict(zip(inner, sides, strict=True)))
        found.append(moved.elements(tensor, index))
    return found


def ends(found: list[Exact]) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.object_]]:
    """The lowest and the highest value that a float engine may have for each element."""
    low = [[v - e for v, e in zip(one.value, one.error_fractions(), strict=True)] for one in found]
    high = [[v + e for v, e in zip(one.value, one.error_fractions(), strict=True)] for one in found]
    lowest = np.array([min(column) for column in zip(*low, strict=True)], dtype=object)
    highest = np.array([max(column) for column in zip(*high, strict=True)], dtype=object)
    return lowest, highest


def _chain(file: ExactFile, tensor: str) -> list[str]:
    """The tensors from `tensor` back to the first that is given, or no result of a step."""
    found = []
    while tensor not in file.given:
        node = file.makers.get(tensor)
        if node is None:
            break
        operands = [name for name in node.input if name and not file.is_constant(name)]
        quantizer = file.is_quantizer(tensor)
        if len(operands) != 1 or not (quantizer or node.op_type in _STEPS):
            break
        found.append(tensor)
        tensor = operands[0]
    return found

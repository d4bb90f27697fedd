"""What a traced network does, as a list of operations between its input and its output.

Each operation is a module of torch, or one of `modules.py`, whatever way the person wrote it:
`F.relu(x)`, `x.relu()` and `nn.ReLU()` are one operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from torch import nn

from qdeploy.tracing.places import Place

INPUT = "input"


def unique(name: str, taken: set[str]) -> str:
    """The name, or with the first free number behind it; it is taken then."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


class Kind(Enum):
    """What an operation needs and gives.

    Codes are values on the grid of a quantizer, sums are any others.
    """

    INPUT = "input"
    LAYER = "layer"  # codes -> sums
    NORM = "norm"  # anything -> sums
    RELU = "relu"  # anything -> codes: its quantizer is part of it
    CURVE = "curve"  # anything -> sums; keeps the order of values
    ADD = "add"  # codes on one grid -> sums
    CONCAT = "concat"  # codes on one grid -> codes
    POOL = "pool"  # codes -> the same codes: maxima, zeros at the border
    AVERAGE = "average"  # codes -> sums
    VIEW = "view"  # anything -> the same
    ARITHMETIC = "arithmetic"  # anything, with constants -> sums
    LAST = "last"  # softmax and the like, at the end only


@dataclass(frozen=True)
class Operation:
    """One step of a network.

    Args:
        name: unique; where a layer, such as `layer1.0.conv1`, its name in the person's network.
        kind: what it needs and gives.
        inputs: names of the operations that it reads.
        module: what computes it, in float; None for the input.
        shape: of its result, without the axis of frames.
        uses: name of the module: that of the first operation where one is called several times.
        place: line of the person's code.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    module: nn.Module | None
    shape: tuple[int, ...]
    uses: str
    place: Place | None


@dataclass(frozen=True)
class FloatGraph:
    """A traced float network.

    Args:
        operations: in the order in which they run; the first one is the input.
        output: name of the operation whose result is the network's.
        kind: name of the person's class.
    """

    operations: tuple[Operation, ...]
    output: str
    kind: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of a frame."""
        return self.operations[0].shape

    @property
    def names(self) -> set[str]:
        """Of operations and modules."""
        return {name for one in self.operations for name in (one.name, one.uses)}

    def readers(self) -> dict[str, list[Operation]]:
        """Operation -> the operations that read it."""
        found: dict[str, list[Operation]] = {one.name: [] for one in self.operations}
        for one in self.operations:
            for name in one.inputs:
                found[name].append(one)
        return found

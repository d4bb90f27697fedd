"""The file's input before its quantizer: what the file computes with it, and how it is ordered.

All of it is one function of each element: operations that ONNX rounds correctly, with constants, so
that each is monotone. Constants that differ along an axis make one function for each place there.
The operations are kept, and evaluated in float32 one after the other, as the file's engine does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from qdeploy.ir.input_codes import RESHAPE, TRANSPOSE, FloatArray, RawType, Step
from qdeploy.lowering.canonical.refusal import refuse

Floats = npt.NDArray[np.floating]
# Operators of one element and a constant; each is monotone for any constant of one sign.
OPERATIONS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "Mul": lambda x, c: x * c,
    "Div": lambda x, c: x / c,
    "Add": lambda x, c: x + c,
    "Sub": lambda x, c: x - c,
    "SubFrom": lambda x, c: c - x,
    "Min": np.minimum,
    "Max": np.maximum,
    "Half": lambda x, c: x.astype(np.float16).astype(np.float32),
}


@dataclass(frozen=True)
class Operation:
    """One of `OPERATIONS` with its constant: one entry, or one for each row."""

    kind: str
    constant: FloatArray

    def applied(self, x: Floats) -> Floats:
        """To x (rows, K)."""
        with np.errstate(all="ignore"):
            return OPERATIONS[self.kind](x, self.constant[:, None])


@dataclass(frozen=True)
class RawInput:
    """The input, or what is left of it after operations and changes of its order.

    Args:
        shape: of a frame as the file takes it.
        raw: the integers it is made of, where they are known.
        layout: from the file's order to the order of this tensor.
        axis: of the file's frame, along which constants differ; None where none do.
    """

    shape: tuple[int, ...]
    raw: RawType | None = None
    layout: tuple[Step, ...] = ()
    operations: tuple[Operation, ...] = ()
    axis: int | None = None

    @property
    def rows(self) -> int:
        """How many functions there are."""
        return 1 if self.axis is None else self.shape[self.axis]

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Place in the file's frame of each element of this tensor."""
        order = np.arange(prod(self.shape)).reshape(self.shape)
        for kind, numbers in self.layout:
            order = order.reshape(numbers) if kind == RESHAPE else order.transpose(numbers)
        return order

    def values(self, x: FloatArray) -> Floats:
        """This tensor's values (rows, K) for values of the file's input."""
        result: Floats = x
        for operation in self.operations:
            result = operation.applied(result)
        return result

    def arranged(self, kind: str, numbers: tuple[int, ...]) -> RawInput:
        """The tensor in another order; steps that undo each other, or do nothing, are dropped."""
        here = self.places.shape
        layout = self.layout
        if kind == RESHAPE and layout and layout[-1][0] == RESHAPE:
            layout = layout[:-1]
        elif kind == TRANSPOSE and layout and layout[-1][0] == TRANSPOSE:
            numbers = tuple(layout[-1][1][axis] for axis in numbers)
            layout = layout[:-1]
        before = replace(self, layout=layout).places.shape
        idle = numbers == (before if kind == RESHAPE else tuple(range(len(here))))
        return replace(self, layout=layout if idle else (*layout, (kind, numbers)))

    def then(self, node: NodeProto, kind: str, constant: npt.NDArray[np.generic]) -> RawInput:
        """The tensor after an operation with a constant of the file.

        Raises:
            UnsupportedLayerError: the constant is not finite, enlarges the frame, or differs along
                more than one of its axes.
        """
        if constant.dtype != np.float32 or not np.isfinite(constant).all():
            raise refuse(
                node,
                f"its constant is not a finite float32 number ({constant.dtype})",
                do="export the network again, in float32",
            )
        axis, entries = self.per_place(node, constant)
        return replace(
            self,
            axis=axis,
            operations=(*self.operations, Operation(kind, entries.astype(np.float32))),
        )

    def per_place(
        self, node: NodeProto, constant: npt.NDArray[np.generic]
    ) -> tuple[int | None, npt.NDArray[np.generic]]:
        """A constant of this tensor as one entry, or one for each place along an axis of the frame.

        Returns:
            The axis of all constants so far and this one, and its entries.

        Raises:
            UnsupportedLayerError: there is no such axis.
        """
        if constant.size == 1:
            return self.axis, constant.reshape(1)
        here = self.places
        try:
            whole = np.broadcast_to(constant, (1, *here.shape))[0]
        except ValueError as error:
            raise refuse(
                node,
                f"a constant of shape {constant.shape} on frames of {here.shape}",
                why="what comes before the quantizer leaves the frame's shape as it is",
                do="use one constant for the frame or one for each channel",
            ) from error
        frame = np.empty(here.size, dtype=constant.dtype)
        frame[here.reshape(-1)] = whole.reshape(-1)
        frame = frame.reshape(self.shape)
        differing = [
            axis for axis in range(frame.ndim) if (frame != np.take(frame, [0], axis=axis)).any()
        ]
        if not differing:
            return self.axis, frame.reshape(-1)[:1]
        if len({*differing, *(() if self.axis is None else (self.axis,))}) > 1:
            raise refuse(
                node,
                "constants before the quantizer differ along more than one axis of the frame",
                why="the host keeps one table for the frame, or one for each place along one axis",
                do="use one constant for the frame or one for each channel",
            )
        axis = differing[0]
        return axis, np.moveaxis(frame, axis, 0).reshape(frame.shape[axis], -1)[:, 0]

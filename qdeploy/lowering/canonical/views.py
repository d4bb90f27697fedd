"""A tensor as another arrangement of one that is in the order of the hardware.

    t = view(u):  axis i of t is axis `axes[i]` of u; None is an axis of size 1 that u has not

Axes of u that no axis of t names have size 1. Transposes, Squeeze, Unsqueeze and reshapes that only
add or drop axes of size 1 are views; element-wise operators go through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdeploy.lowering.canonical.edit import Array

Axis = int | None


@dataclass(frozen=True)
class View:
    """A view of the tensor `base`, whose shape is `shape`."""

    base: str
    shape: tuple[int, ...]
    axes: tuple[Axis, ...]

    @property
    def is_plain(self) -> bool:
        """Whether the view is its base."""
        return self.axes == tuple(range(len(self.shape)))

    @property
    def order(self) -> list[int]:
        """The base's axes as the view has them, then those that it has not."""
        named = [axis for axis in self.axes if axis is not None]
        return [*named, *(axis for axis in range(len(self.shape)) if axis not in named)]

    @property
    def moves(self) -> bool:
        """Whether elements are in another order than in the base."""
        large = [axis for axis in self.order if self.shape[axis] != 1]
        return large != sorted(large)

    @property
    def shown(self) -> tuple[int, ...]:
        """The shape of the view."""
        return tuple(1 if axis is None else self.shape[axis] for axis in self.axes)

    def transposed(self, perm: Sequence[int]) -> View:
        """The view with its axes permuted."""
        return View(self.base, self.shape, tuple(self.axes[axis] for axis in perm))

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """The view in a shape with other axes of size 1; None where more than that changes."""
        kept = [axis for axis in self.axes if axis is not None and self.shape[axis] != 1]
        spare = [axis for axis in range(len(self.shape)) if self.shape[axis] == 1]
        axes: list[Axis] = []
        for size in shape:
            if size != 1:
                if not kept or self.shape[kept[0]] != size:
                    return None
                axes.append(kept.pop(0))
            elif spare and (not axes or _before(spare[0], axes)):
                axes.append(spare.pop(0))
            else:
                axes.append(None)
        return None if kept else View(self.base, self.shape, tuple(axes))

    def of(self, base: str, shape: tuple[int, ...]) -> View:
        """The same view of another tensor of the base's rank."""
        return View(base, shape, self.axes)

    def constant(self, value: Array) -> Array | None:
        """A constant that broadcasts over the view as one that broadcasts over the base.

        Returns:
            None where it has more than one element along an axis the base has not.
        """
        if value.size == 1:
            return value.reshape(())
        if value.ndim > len(self.axes):
            return None
        padded = value.reshape((1,) * (len(self.axes) - value.ndim) + value.shape)
        named = {axis: place for place, axis in enumerate(self.axes) if axis is not None}
        if any(padded.shape[k] != 1 for k, axis in enumerate(self.axes) if axis is None):
            return None
        order = [named[axis] for axis in sorted(named)]
        rest = [place for place in range(len(self.axes)) if place not in order]
        moved = padded.transpose([*order, *rest])
        sizes = iter(moved.shape)
        shape = [next(sizes) if axis in named else 1 for axis in range(len(self.shape))]
        return np.ascontiguousarray(moved.reshape(shape))

    def features(self) -> Array:
        """For each element of the flattened view, its index in the flattened base."""
        index = np.arange(int(np.prod(self.shape))).reshape(self.shape)
        return index.transpose(self.order).reshape(-1)


def _before(axis: int, axes: Sequence[Axis]) -> bool:
    return all(other is None or other < axis for other in axes)

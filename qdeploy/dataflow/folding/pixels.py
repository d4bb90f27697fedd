"""Multi-pixel layers (FINN's MMV): M neighbouring pixels of a row in every beat.

    requires   hardware layers with qdeploy's backends, not yet folded
    transform  chosen layers see a map of W columns and C channels as W/M columns of M·C channels
    ensures    every stream carries the same elements in the same order as before

A map streams row by row with its channels together, so both views are the same stream: between
layers of different M there is at most a width converter. In the new view a convolution has M_out
times the rows of weights, one copy per output pixel, each shifted to its pixel and zero elsewhere:

    W'[(ky, g, m, c), (j, o)] = W[(ky, kx, c), o]    where (g·M + m) is the column that output pixel
                                                     j sees under kx, counted from the window's edge

Zeros cost nothing where weights are the logic of their sums (`backends/unrolled.py`), which is what
a layer looks like that is the slowest even at one pixel per cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from qdeploy.dataflow.finn.geometry import Padding
from qdeploy.dataflow.finn.models import copy_of
from qdeploy.dataflow.finn.nodes import HwNode, Kind, divisors, layer_groups
from qdeploy.dataflow.rtl.products import DotKind
from qdeploy.design.manifest import PIXELS

if TYPE_CHECKING:
    from qonnx.core.modelwrapper import ModelWrapper

MOST_PIXELS = 8


def multi_pixel_choices(model: ModelWrapper) -> dict[str, dict[int, int]]:
    """Layer -> M -> the fewest cycles per frame with M pixels per beat; 1 is always one of them."""
    groups = {group[-1].name: _Group.of(group) for group in layer_groups(model)}
    return {
        name: {m: group.least_cycles(m) for m in group.legal()} for name, group in groups.items()
    }


def with_multi_pixel(model: ModelWrapper, pixels: Mapping[str, int]) -> ModelWrapper:
    """A copy in which layers take M pixels per beat.

    Args:
        pixels: layer -> M, one of `multi_pixel_choices`; layers left out take one.
    """
    wide = copy_of(model)
    for nodes in layer_groups(wide):
        many = pixels.get(nodes[-1].name, 1)
        if many > 1:
            _Group.of(nodes).widen(wide, many)
    return wide


@dataclass(frozen=True)
class _Columns:
    """A convolution along a row, in columns of M pixels.

    Args:
        outputs: pixels per beat of the result.
        left, right: columns of padding.
        span, stride: of a window.
        count: windows in a row.
    """

    outputs: int
    left: int
    right: int
    span: int
    stride: int
    count: int


@dataclass(frozen=True)
class _Group:
    """A layer and the nodes before it that only move its pixels.

    Args:
        shape: (H, W) of the input map, (0, 0) where the input is no map.
        window, padding: None where there are none.
    """

    shape: tuple[int, int]
    unit: HwNode
    window: HwNode | None
    padding: HwNode | None

    @staticmethod
    def of(nodes: list[HwNode]) -> _Group:
        unit, movers = nodes[-1], nodes[:-1]
        window = next((node for node in movers if node.kind is Kind.WINDOW), None)
        padding = next((node for node in movers if node.kind is Kind.PADDING), None)
        shape = [int(size) for size in nodes[0].instance.get_normal_input_shape()]
        simple = len(movers) == (window is not None) + (padding is not None)
        is_map = len(shape) == 4 and simple
        return _Group((shape[1], shape[2]) if is_map else (0, 0), unit, window, padding)

    def legal(self) -> list[int]:
        """Every M it can have."""
        width = self.shape[1]
        if not width or not (self.unit.operator.each_pixel or self._is_matrix()):
            return [1]
        found = [m for m in divisors(width) if 1 < m <= MOST_PIXELS]
        if self._is_matrix():
            found = [m for m in found if self._columns(m) is not None]
        return [1, *found]

    def _is_matrix(self) -> bool:
        """Whether it is a matrix unit whose weights may be zero."""
        if self.unit.kind is not Kind.MATRIX or (self.padding and not self.window):
            return False
        unit = self.unit.instance
        return bool(unit.get_input_datatype(1).allowed(0)) and unit.dot() is not DotKind.XNOR

    def least_cycles(self, many: int) -> int:
        """Cycles per frame with `many` pixels per beat, each beat handled in one cycle."""
        if not self.shape[1]:
            return 0
        if many == 1 or not self._is_matrix():
            movers = [m.instance for m in (self.padding, self.window) if m is not None]
            maps = [mover.get_normal_input_shape() for mover in movers]
            maps += [mover.get_normal_output_shape() for mover in movers]
            maps += [self.unit.instance.get_normal_input_shape()]
            return max(prod(int(size) for size in one[1:-1]) for one in maps) // many
        rows = self.shape[0]
        border = self._border()
        if border is not None:
            rows += border.top + border.bottom
        columns = self._columns(many)
        assert columns is not None
        windows = self._vectors()[1] * columns.count
        width = columns.left + self.shape[1] // many + columns.right
        return max(rows * width, windows)

    def _row(self) -> tuple[int, int, int, int]:
        """Kernel, stride, dilation and padding on the left, along a row."""
        window = None if self.window is None else self.window.window
        if window is None:
            return 1, 1, 1, 0
        border = self._border()
        left = 0 if border is None else border.left
        return window.kernel[1], window.stride[1], window.dilation[1], left

    def _border(self) -> Padding | None:
        return None if self.padding is None else self.padding.padding

    def _vectors(self) -> tuple[int, ...]:
        """Batch, rows and columns of the result."""
        return self.unit.integers("numInputVectors")

    def _columns(self, many: int) -> _Columns | None:
        """The row in columns of `many` pixels, None where windows do not fall on columns."""
        kernel, stride, dilation, left = self._row()
        width = self._vectors()[2]
        outputs = max(many // stride, 1)
        if outputs * stride % many or width % outputs:
            return None
        before = -(-left // many)
        last = ((outputs - 1) * stride - left + (kernel - 1) * dilation) // many
        span, step, count = before + last + 1, outputs * stride // many, width // outputs
        behind = (count - 1) * step + span - before - self.shape[1] // many
        if self.padding is None and (before or behind > 0):
            return None
        behind = max(behind, 0)
        padded = before + self.shape[1] // many + behind
        if (padded - span) // step + 1 != count:
            return None
        return _Columns(outputs, before, behind, span, step, count)

    def widen(self, model: ModelWrapper, many: int) -> None:
        """Give the layer `many` pixels per beat, in place."""
        self.unit.instance.set_nodeattr(PIXELS, many)
        if self._is_matrix():
            self._widen_matrix(model, many)
        else:
            self.unit.instance.widen(model, many)
        for node in (self.padding, self.window, self.unit):
            if node is not None:
                for index, name in node.outputs.items():
                    shape = node.instance.get_normal_output_shape(index)
                    model.set_tensor_shape(name, list(shape))

    def _widen_matrix(self, model: ModelWrapper, many: int) -> None:
        columns = self._columns(many)
        assert columns is not None
        unit, node = self.unit.instance, self.unit.node
        weights = self._wide_weights(model.get_initializer(node.input[1]), many, columns)
        model.set_initializer(node.input[1], weights)
        rows = self._vectors()[1]
        self._widen_padding(many, columns)
        self._widen_window(rows, many, columns)
        unit.set_nodeattr("MW", weights.shape[0])
        unit.set_nodeattr("MH", weights.shape[1])
        unit.set_nodeattr("numInputVectors", [1, rows, columns.count])
        unit.repeat_channels(model, columns.outputs)

    def _widen_padding(self, many: int, columns: _Columns) -> None:
        border = self._border()
        if self.padding is None or border is None:
            return
        sides = [border.top, columns.left, border.bottom, columns.right]
        self.padding.instance.set_nodeattr("Padding", sides)
        self.padding.instance.set_nodeattr("ImgDim", [self.shape[0], self.shape[1] // many])
        _scale(self.padding, "NumChannels", many)

    def _widen_window(self, rows: int, many: int, columns: _Columns) -> None:
        window = None if self.window is None else self.window.window
        if self.window is None or window is None:
            return
        padded = columns.left + self.shape[1] // many + columns.right
        for key, value in (
            ("IFMDim", (window.shape[0], padded)),
            ("OFMDim", (rows, columns.count)),
            ("ConvKernelDim", (window.kernel[0], columns.span)),
            ("Stride", (window.stride[0], columns.stride)),
            ("Dilation", (window.dilation[0], 1)),
        ):
            self.window.instance.set_nodeattr(key, list(value))
        _scale(self.window, "IFMChannels", many)

    def _wide_weights(self, weights: np.ndarray, many: int, columns: _Columns) -> np.ndarray:
        """Weights (MW, MH) of the new view, rows by (ky, column, pixel, channel), columns by
        (output pixel, channel)."""
        kernel, stride, dilation, left = self._row()
        window = None if self.window is None else self.window.window
        tall = 1 if window is None else window.kernel[0]
        features = weights.shape[1]
        old = weights.reshape(tall, kernel, -1, features)
        channels = old.shape[2]
        pixels = columns.span * many
        new = np.zeros((tall, pixels, channels, columns.outputs, features), weights.dtype)
        for j in range(columns.outputs):
            for kx in range(kernel):
                new[:, columns.left * many + j * stride - left + kx * dilation, :, j] = old[:, kx]
        return new.reshape(tall * pixels * channels, columns.outputs * features)


def _scale(node: HwNode, key: str, many: int) -> None:
    node.instance.set_nodeattr(key, node.integer(key) * many)

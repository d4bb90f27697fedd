"""Pixel parallelism: M neighbouring pixels of a row in every beat.

    requires   hardware layers with qdeploy's backends, not yet folded
    transform  chosen layers see a map of W columns and C channels as W/M columns of M·C channels
    ensures    every stream carries the same elements in the same order as before

A map streams row by row with its channels together, so both views are the same stream: between
layers of different M lies a width converter at most. A convolution in the new view has M_out times
the rows of weights, one copy for each pixel it puts out, every copy shifted to its pixel and zero
elsewhere:

    W'[(ky, g, m, c), (j, o)] = W[(ky, kx, c), o]    where (g·M + m) is the column that output pixel
                                                     j sees under kx, counted from the window's edge

Zeros cost nothing where weights are the logic of their sums (`backends/unrolled.py`), which is how
a layer looks that one pixel a cycle still makes the slowest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from qdeploy.dataflow.finn.nodes import MOVERS, divisors, layer_groups
from qdeploy.design.manifest import PIXELS

if TYPE_CHECKING:
    from onnx import NodeProto
    from qonnx.core.modelwrapper import ModelWrapper

MOST_PIXELS = 8
# These do the same to every pixel.
_EACH_PIXEL = ("Thresholding", "DuplicateStreams", "ElementwiseAdd")
_MATRIX = "MVAU"


def pixel_choices(model: ModelWrapper) -> dict[str, dict[int, int]]:
    """Layer -> M -> cycles a frame takes in it at least, with all M pixels in a beat; 1 is always
    one of them."""
    groups = {group[-1].name: _Group.of(model, group) for group in layer_groups(model)}
    return {
        name: {m: group.least_cycles(m) for m in group.legal()} for name, group in groups.items()
    }


def with_pixels(model: ModelWrapper, pixels: Mapping[str, int]) -> ModelWrapper:
    """A copy in which layers take M pixels a beat.

    Args:
        pixels: layer -> M, one of `pixel_choices`; layers left out take one.
    """
    from qonnx.core.modelwrapper import ModelWrapper

    wide = ModelWrapper(model.model, make_deepcopy=True)
    for nodes in layer_groups(wide):
        many = pixels.get(nodes[-1].name, 1)
        if many > 1:
            _Group.of(wide, nodes).widen(wide, many)
    return wide


@dataclass(frozen=True)
class _Columns:
    """A convolution along a row, in columns of M pixels.

    Args:
        outputs: pixels in a beat of the result.
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
    """A layer behind what only moves its pixels.

    Args:
        shape: (H, W) of the map that comes in, (0, 0) where none does.
        unit, window, padding: FINN's nodes; the last two None where there are none.
    """

    shape: tuple[int, int]
    unit: Any
    window: Any
    padding: Any

    @staticmethod
    def of(model: ModelWrapper, nodes: list[NodeProto]) -> _Group:
        from qonnx.custom_op.registry import getCustomOp

        instances = [getCustomOp(node) for node in nodes]
        unit, movers = instances[-1], instances[:-1]
        window = next((i for i in movers if i.onnx_node.op_type.startswith(MOVERS[1])), None)
        padding = next((i for i in movers if i.onnx_node.op_type.startswith(MOVERS[0])), None)
        shape = [int(size) for size in instances[0].get_normal_input_shape()]
        simple = len(movers) == (window is not None) + (padding is not None)
        is_map = len(shape) == 4 and simple
        return _Group((shape[1], shape[2]) if is_map else (0, 0), unit, window, padding)

    @property
    def kind(self) -> str:
        """FINN's operator."""
        return str(self.unit.onnx_node.op_type)

    def legal(self) -> list[int]:
        """Every M it can have."""
        width = self.shape[1]
        if not width or not (self.kind.startswith(_EACH_PIXEL) or self._is_matrix()):
            return [1]
        found = [m for m in divisors(width) if 1 < m <= MOST_PIXELS]
        if self._is_matrix():
            found = [m for m in found if self._columns(m) is not None]
        return [1, *found]

    def _is_matrix(self) -> bool:
        """Whether it is a matrix unit that zero weights can be put into."""
        if not self.kind.startswith(_MATRIX) or (self.padding and not self.window):
            return False
        return bool(self.unit.get_input_datatype(1).allowed(0)) and self.unit.dot() != "xnor"

    def least_cycles(self, many: int) -> int:
        """Cycles a frame with `many` pixels a beat, each beat handled in one."""
        if not self.shape[1]:
            return 0
        if many == 1 or not self._is_matrix():
            movers = [mover for mover in (self.padding, self.window) if mover is not None]
            maps = [mover.get_normal_input_shape() for mover in movers]
            maps += [mover.get_normal_output_shape() for mover in movers]
            maps += [self.unit.get_normal_input_shape()]
            return max(prod(int(size) for size in one[1:-1]) for one in maps) // many
        rows = self.shape[0]
        if self.padding is not None:
            top, _, bottom, _ = self.padding.get_nodeattr("Padding")
            rows += int(top) + int(bottom)
        columns = self._columns(many)
        assert columns is not None
        windows = int(self.unit.get_nodeattr("numInputVectors")[1]) * columns.count
        width = columns.left + self.shape[1] // many + columns.right
        return max(int(rows) * width, windows)

    def _row(self) -> tuple[int, int, int, int]:
        """Kernel, stride, dilation and padding on the left, along a row."""
        if self.window is None:
            return 1, 1, 1, 0
        kernel, stride, dilation = (
            int(self.window.get_nodeattr(key)[1]) for key in ("ConvKernelDim", "Stride", "Dilation")
        )
        left = 0 if self.padding is None else int(self.padding.get_nodeattr("Padding")[1])
        return kernel, stride, dilation, left

    def _columns(self, many: int) -> _Columns | None:
        """The row in columns of `many` pixels, None where windows do not fall on columns."""
        kernel, stride, dilation, left = self._row()
        width = int(self.unit.get_nodeattr("numInputVectors")[2])
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
        """Give the layer `many` pixels a beat, in place."""
        self.unit.set_nodeattr(PIXELS, many)
        if self._is_matrix():
            self._widen_matrix(model, many)
        elif self.kind.startswith("ElementwiseAdd"):
            self._widen_addition(model, many)
        else:
            self._widen_vectors(model, many)
        for inst in (self.padding, self.window, self.unit):
            if inst is not None:
                for index, name in enumerate(inst.onnx_node.output):
                    model.set_tensor_shape(name, list(inst.get_normal_output_shape(index)))

    def _widen_vectors(self, model: ModelWrapper, many: int) -> None:
        unit = self.unit
        _scale(unit, "NumChannels", many)
        unit.set_nodeattr("numInputVectors", [1, self.shape[0], self.shape[1] // many])
        if self.kind.startswith("Thresholding"):
            _repeat(model, unit.onnx_node.input[1], many)
            unit.repeat_channels(many)

    def _widen_addition(self, model: ModelWrapper, many: int) -> None:
        unit = self.unit
        constants = {item.name for item in model.graph.initializer}
        for side, name in zip(("lhs", "rhs"), unit.onnx_node.input, strict=True):
            if name not in constants:
                unit.set_nodeattr(f"{side}_shape", self._wide_shape(unit, f"{side}_shape", many))
                continue
            values = model.get_initializer(name)
            model.set_initializer(name, np.concatenate([values] * many, axis=-1))
            unit.set_nodeattr(f"{side}_shape", list(model.get_tensor_shape(name)))
        unit.set_nodeattr("out_shape", self._wide_shape(unit, "out_shape", many))

    def _wide_shape(self, unit: Any, key: str, many: int) -> list[int]:
        batch, height, width, channels = (int(size) for size in unit.get_nodeattr(key))
        return [batch, height, width // many, channels * many]

    def _widen_matrix(self, model: ModelWrapper, many: int) -> None:
        columns = self._columns(many)
        assert columns is not None
        unit, node = self.unit, self.unit.onnx_node
        weights = self._wide_weights(model.get_initializer(node.input[1]), many, columns)
        model.set_initializer(node.input[1], weights)
        if self.padding is not None:
            top, _, bottom, _ = (int(size) for size in self.padding.get_nodeattr("Padding"))
            self.padding.set_nodeattr("Padding", [top, columns.left, bottom, columns.right])
            self.padding.set_nodeattr("ImgDim", [self.shape[0], self.shape[1] // many])
            _scale(self.padding, "NumChannels", many)
        rows = int(unit.get_nodeattr("numInputVectors")[1])
        if self.window is not None:
            height = int(self.window.get_nodeattr("IFMDim")[0])
            padded = columns.left + self.shape[1] // many + columns.right
            self.window.set_nodeattr("IFMDim", [height, padded])
            self.window.set_nodeattr("OFMDim", [rows, columns.count])
            for key, value in (
                ("ConvKernelDim", columns.span),
                ("Stride", columns.stride),
                ("Dilation", 1),
            ):
                self.window.set_nodeattr(key, [int(self.window.get_nodeattr(key)[0]), value])
            _scale(self.window, "IFMChannels", many)
        unit.set_nodeattr("MW", weights.shape[0])
        unit.set_nodeattr("MH", weights.shape[1])
        unit.set_nodeattr("numInputVectors", [1, rows, columns.count])
        if len(node.input) == 3:
            _repeat(model, node.input[2], columns.outputs)
        unit.repeat_channels(columns.outputs)

    def _wide_weights(self, weights: np.ndarray, many: int, columns: _Columns) -> np.ndarray:
        """Weights (MW, MH) of the new view, rows by (ky, column, pixel, channel), columns by
        (output pixel, channel)."""
        kernel, stride, dilation, left = self._row()
        tall = 1 if self.window is None else int(self.window.get_nodeattr("ConvKernelDim")[0])
        features = weights.shape[1]
        old = weights.reshape(tall, kernel, -1, features)
        channels = old.shape[2]
        pixels = columns.span * many
        new = np.zeros((tall, pixels, channels, columns.outputs, features), weights.dtype)
        for j in range(columns.outputs):
            for kx in range(kernel):
                new[:, columns.left * many + j * stride - left + kx * dilation, :, j] = old[:, kx]
        return new.reshape(tall * pixels * channels, columns.outputs * features)


def _scale(inst: Any, key: str, many: int) -> None:
    inst.set_nodeattr(key, int(inst.get_nodeattr(key)) * many)


def _repeat(model: ModelWrapper, name: str, times: int) -> None:
    """Thresholds of every channel once more for each further pixel; one row is for all."""
    table = model.get_initializer(name)
    if len(table) > 1:
        model.set_initializer(name, np.tile(table, (times, 1)))

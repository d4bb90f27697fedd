"""Memory of a step's passes through a fully connected network (`chain`), and the structures that
tell the kernels where it is."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from qdeploy.quant import native_thresholds
from qdeploy.quant.direct import DirectConstant, DirectOwn, DirectQuantizer
from qdeploy.quant.native import Rule, parts_of
from qdeploy.quant.native_stage import (
    STEPS,
    THRESHOLDS,
    Stage,
    Steps,
    calls,
    stage_of_norm,
)
from qdeploy.quant.quantizers import SMALLEST_THRESHOLD
from qdeploy.quant.thresholds import ThresholdQuant


@dataclass(frozen=True)
class Layer:
    """A fully connected layer with what follows it; the last one has no norm.

    Args:
        quantizer: of the weights; None in float.
        act: what quantizes the activations; None where that is a ReLU, and in the last layer.
    """

    weight: nn.Parameter
    quantizer: DirectQuantizer | None
    norm: nn.BatchNorm1d | None = None
    act: DirectQuantizer | DirectOwn | None = None

    def parameters(self) -> list[nn.Parameter]:
        """In the order of `Pass.gradients`."""
        found = [self.weight]
        found += [] if self.quantizer is None else [value_of(self.quantizer)]
        found += [] if self.norm is None else [self.norm.weight, self.norm.bias]
        if self.act is not None:
            found.append(value_of(self.act))
        if isinstance(self.act, DirectOwn):
            segments = _thresholds(self.act).segments
            found += [segments.start, segments.lengths]
        return found


class Pass:
    """Memory of one pass forth and back of `rows` images, and the structures that say where it is.

    Args:
        places: where the parameters lie.
    """

    def __init__(
        self,
        given: DirectConstant | None,
        layers: Sequence[Layer],
        rows: int,
        places: tuple[int, ...],
    ) -> None:
        self.rows, self.places = rows, places
        self._calls = calls()
        self._kept: list[torch.Tensor] = []
        self._input: torch.Tensor | None = None
        quantized = [layer for layer in layers if layer.quantizer is not None]
        self._steps = (Steps * (len(quantized) + 1))()
        self._count = len(quantized)
        self._places = {id(layer): index for index, layer in enumerate(quantized)}
        self._layers = [self._layer(layer, rows) for layer in layers]
        self._given = given
        if given is not None:
            inputs = layers[0].weight.shape[1]
            self._input = torch.empty(rows, inputs)
            value, smallest, levels = given.scale
            self._fill(self._count, self._input, (value.contiguous(), smallest, levels), given)
            self._count += 1
        self._sizes = [size for made in self._layers for size in made.sizes]
        self._x = torch.empty(0)

    def _fill(
        self,
        index: int,
        y: torch.Tensor,
        scale: tuple[torch.Tensor, float, int],
        codes: DirectConstant | DirectQuantizer,
    ) -> Steps:
        """The structure of a quantizer of what will have the shape of `y`."""
        step: Steps = self._steps[index]
        _fill_steps(step, y, scale, codes)
        self._kept += [y, scale[0]]
        return step

    def _layer(self, layer: Layer, rows: int) -> _Memory:
        steps = None
        weight = layer.weight.detach()
        if layer.quantizer is not None:
            made, value = torch.empty_like(weight), value_of(layer.quantizer)
            scale = (value.detach(), SMALLEST_THRESHOLD, layer.quantizer.levels)
            steps = self._fill(self._places[id(layer)], made, scale, layer.quantizer)
            steps.x, steps.rule = weight.data_ptr(), int(Rule.THROUGH)
            parts = torch.empty(parts_of(steps.rows, steps.size), dtype=torch.float64)
            steps.parts = parts.data_ptr()
            steps.divisor = math.sqrt(max(1, steps.size) * layer.quantizer.hi)
            self._kept += [parts, weight]
            weight = made
        return _Memory(layer, weight, steps, rows)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits; `x` is kept until the gradients are there."""
        if self._input is not None:
            self._steps[self._count - 1].x = x.data_ptr()
            self._x, x = x, self._input
        else:
            self._x = x
        self._calls.weights(ctypes.addressof(self._steps), self._count)
        *hidden, head = self._layers
        for made in hidden:
            torch.mm(x, made.transposed, out=made.z)
            self._calls.forward(made.address)
            x = made.out
        return torch.mm(x, head.transposed)

    def gradients(self, grad: torch.Tensor, wanted: Sequence[bool]) -> list[torch.Tensor | None]:
        """Of the parameters, None of those not `wanted`."""
        # All but those of weights lie in one piece.
        small = torch.empty(sum(self._sizes))
        place, views = small.data_ptr(), iter(small.split(self._sizes))
        for made in self._layers:
            place = made.point(place)
        of_weights: list[torch.Tensor] = []
        for index in range(len(self._layers) - 1, -1, -1):
            made = self._layers[index]
            before = self._layers[index - 1].out if index else self._input
            if made.stage is not None:
                self._calls.gradient(made.address)
                grad = made.g_x
            of_weights.append(torch.mm(grad.t(), self._x if before is None else before))
            if made.steps is not None:
                made.steps.g = of_weights[-1].data_ptr()
            if index:
                torch.mm(grad, made.weight, out=self._layers[index - 1].g)
        self._calls.weight_slopes(ctypes.addressof(self._steps), self._count)
        found: list[torch.Tensor | None] = []
        for made in self._layers:
            found.append(of_weights.pop())
            found += [next(views).view(shape) for shape in made.shapes]
            made.finish(found)
        self._x = torch.empty(0)
        return [one if want else None for one, want in zip(found, wanted, strict=True)]


class _Memory:
    """What a layer's passes need.

    Args:
        weight: as products take them.
        steps: of their quantizer.
    """

    def __init__(self, layer: Layer, weight: torch.Tensor, steps: Steps | None, rows: int) -> None:
        self.weight, self.transposed, self.steps = weight, weight.t(), steps
        self.shapes = [one.shape for one in layer.parameters()[1:]]
        self.sizes = [one.numel() for one in layer.parameters()[1:]]
        self.stage: Stage | None = None
        self._inside: torch.Tensor | None = None
        self._learned = layer.quantizer is not None and value_of(layer.quantizer).requires_grad
        if layer.norm is None:
            return
        units = weight.shape[0]
        self.z, self._y = torch.empty(rows, units), torch.empty(2, rows, units)
        self.out, self.g = self._y[1], torch.empty(rows, units)
        self._g_y, self.g_x = torch.empty(2, rows, units)
        self._scratch = torch.empty(6, units)
        self.stage = stage = stage_of_norm(self.z, self._y, layer.norm, self._scratch)
        self.address = ctypes.addressof(stage)
        stage.g, stage.g_y = self.g.data_ptr(), self._g_y.data_ptr()
        stage.g_x = self.g_x.data_ptr()
        if isinstance(layer.act, DirectQuantizer):
            stage.kind = STEPS
            scale = (value_of(layer.act).detach(), SMALLEST_THRESHOLD, layer.act.levels)
            _fill_steps(stage.steps, self.out, scale, layer.act)
            stage.steps.x = self._y[0].data_ptr()
            self._parts = torch.empty(parts_of(1, rows * units), dtype=torch.float64)
            stage.steps.parts = self._parts.data_ptr()
            if layer.act.rule != Rule.PACT:
                stage.steps.divisor = math.sqrt(units * layer.act.hi)
        elif layer.act is not None:
            stage.kind = THRESHOLDS
            self._fill_thresholds(stage, layer.act)

    def _fill_thresholds(self, stage: Stage, act: DirectOwn) -> None:
        segments, made = _thresholds(act).segments, stage.thresholds
        count, rows, units = segments.lengths.numel(), stage.rows, stage.units
        made.count, made.levels, made.smallest = count, act.levels, SMALLEST_THRESHOLD
        made.value, made.start = value_of(act).data_ptr(), segments.start.data_ptr()
        made.lengths, made.least = segments.lengths.data_ptr(), segments.least.data_ptr()
        self._edges = torch.empty(4, count + 1)
        for name, row in zip(("edges", "ends", "exact", "slopes"), self._edges, strict=True):
            setattr(made, name, row.data_ptr())
        exact = (native_thresholds.parts_of(rows * units, count), 2 * count + 1, count)
        self._sums = [torch.empty(size, dtype=torch.float64) for size in exact]
        for name, one in zip(("parts", "sums", "inside"), self._sums, strict=True):
            setattr(made, name, one.data_ptr())
        made.share = self._share = 1.0 / math.sqrt(max(1, units) * count)
        self._inside = self._sums[2] if count > 3 else None

    def point(self, place: int) -> int:
        """The gradients of all parameters but the weight lie from this address on.

        Returns:
            The address behind them.
        """
        places = []
        for size in self.sizes:
            places.append(place)
            place += 4 * size
        if self.steps is not None:
            slope = places.pop(0)
            self.steps.slope = slope if self._learned else None
        if self.stage is not None:
            stage = self.stage
            stage.of_gain, stage.of_offset, *others = places
            if stage.kind == STEPS:
                (stage.steps.slope,) = others
            elif stage.kind == THRESHOLDS:
                made = stage.thresholds
                made.of_value, made.of_start, made.of_lengths = others
        return place

    def finish(self, found: list[torch.Tensor | None]) -> None:
        """`found` ends with this layer's gradients: torch adds up many numbers in another order
        than one after the other."""
        if self._inside is not None:
            start = found[-2]
            assert start is not None
            start.copy_(-self._inside.sum() * self._share)


def _fill_steps(
    step: Steps,
    y: torch.Tensor,
    scale: tuple[torch.Tensor, float, int],
    codes: DirectConstant | DirectQuantizer,
) -> None:
    value, step.smallest, step.levels = scale
    step.values, step.rows, step.y = value.data_ptr(), value.numel(), y.data_ptr()
    step.size = y.numel() // step.rows
    step.lo, step.hi = codes.lo, codes.hi
    if isinstance(codes, DirectQuantizer):
        step.rule = int(codes.rule)


def value_of(quantizer: DirectQuantizer | DirectOwn) -> nn.Parameter:
    """The threshold's parameter."""
    scaling: Any = quantizer.scaling
    value: nn.Parameter = scaling.value
    return value


def _thresholds(act: DirectOwn) -> ThresholdQuant:
    assert isinstance(act.rounding, ThresholdQuant)
    return act.rounding

"""From operations and their quantizers to the network, quantized or in float."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import brevitas.nn as qnn
from torch import nn

from qdeploy.quant.layers import LayerFactory, Position
from qdeploy.quant.quantizers import range_quantizer
from qdeploy.tracing.grids import INPUT_QUANT, Grid, Grids
from qdeploy.tracing.modules import AsSeries
from qdeploy.tracing.network import Step, TracedNetwork
from qdeploy.tracing.operations import INPUT, FloatGraph, Kind, Operation, unique

Range = tuple[float, float]
# Layers of torch and Brevitas' own.
_QUANTIZED: dict[type[nn.Module], Any] = {
    nn.Conv1d: qnn.QuantConv1d,
    nn.Conv2d: qnn.QuantConv2d,
    nn.ConvTranspose1d: qnn.QuantConvTranspose1d,
    nn.ConvTranspose2d: qnn.QuantConvTranspose2d,
}


@dataclass
class Assembly:
    """Makes one network.

    Args:
        make: layers, in float or quantized; called with the names of the person's network.
        input_range: smallest and largest value of the input; None for codes / 2**input_bits.
    """

    graph: FloatGraph
    grids: Grids
    make: LayerFactory
    input_range: Range | None
    _modules: dict[str, nn.Module] = field(default_factory=dict)
    _steps: list[Step] = field(default_factory=list)

    def network(self) -> TracedNetwork:
        """The network with fresh parameters where it is quantized, with the person's in float."""
        positions = positions_of(self.graph)
        # Name of a result in the graph -> where its codes are.
        now: dict[str, str] = {}
        for one in self.graph.operations:
            inputs = tuple(
                self._on_grid(now[name], self.grids.edges.get((one.name, place)))
                for place, name in enumerate(one.inputs)
            )
            if one.kind is Kind.INPUT:
                now[one.name] = INPUT if self._is_row(one.name) else self._input(INPUT)
                continue
            name = self.grids.relus[one.name] if one.kind is Kind.RELU else one.uses
            if name not in self._modules:
                self._modules[name] = self._module(one, name, positions.get(one.name, "inside"))
            self._steps.append(Step(one.name, name, inputs))
            now[one.name] = self._on_grid(one.name, self.grids.after.get(one.name))
            if one.inputs == (INPUT,) and self._is_row(INPUT):
                now[one.name] = self._input(one.name)
        return TracedNetwork(
            self._modules,
            self._steps,
            now[self.graph.output],
            self.graph.input_shape,
            self.graph.kind,
        )

    def _is_row(self, name: str) -> bool:
        """Whether a result is a map of one row that becomes a series: before it is quantized,
        because the host does that."""
        readers = self.graph.readers()[name]
        return len(readers) == 1 and isinstance(readers[0].module, AsSeries)

    def _input(self, result: str) -> str:
        """The input's codes."""
        if self.grids.input_is_real:
            return result
        name = unique(INPUT_QUANT, self.graph.names)
        self._modules[name] = self._input_quantizer()
        self._steps.append(Step(name, name, (result,)))
        return name

    def _input_quantizer(self) -> nn.Module:
        if self.input_range is None or not self.make.quantized:
            return self.make.input()
        quantizer = range_quantizer(self.make.quantization.input_bits, *self.input_range)
        return qnn.QuantIdentity(act_quant=quantizer, return_quant_tensor=False)

    def _on_grid(self, result: str, grid: Grid | None) -> str:
        """The result on a grid; what is there already is not made again."""
        if grid is None:
            return result
        name = f"{grid.name}({result})"
        if grid.name not in self._modules:
            make = self.make.stream if grid.signed else self.make.join
            self._modules[grid.name] = make(grid.name)
        if not any(step.result == name for step in self._steps):
            self._steps.append(Step(name, grid.name, (result,)))
        return name

    def _module(self, one: Operation, name: str, position: Position) -> nn.Module:
        if self.make.quantized and one.kind is Kind.RELU:
            return self.make.relu(name)
        assert one.module is not None
        if self.make.quantized and one.kind is Kind.LAYER:
            weights = self.make.weights(name, position, one_scale=_is_grouped(one.module))
            if weights:
                return _quantized_layer(one.module, weights)
        return copy.deepcopy(one.module)


def positions_of(graph: FloatGraph) -> dict[str, Position]:
    """Layers that read the input, and layers whose sums are the output; the last wins."""
    found: dict[str, Position] = {}
    known, readers = {one.name: one for one in graph.operations}, graph.readers()

    def mark(one: Operation, position: Position, seen: set[str]) -> None:
        if one.name in seen:
            return
        seen.add(one.name)
        if one.kind is Kind.LAYER:
            found[one.name] = position
            return
        first = position == "first"
        for near in readers[one.name] if first else [known[name] for name in one.inputs]:
            mark(near, position, seen)

    mark(known[INPUT], "first", set())
    mark(known[graph.output], "last", set())
    return found


def _quantized_layer(layer: nn.Module, weights: dict[str, Any]) -> nn.Module:
    """Brevitas' layer of the same shape."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        linear: nn.Module = qnn.QuantLinear(
            layer.in_features, layer.out_features, bias=bias, **weights
        )
        return linear
    given = {name: getattr(layer, name) for name in ("stride", "dilation", "groups")}
    kind = next(one for one in _QUANTIZED if isinstance(layer, one))
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d)
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d):
        given["output_padding"] = layer.output_padding
    conv: nn.Module = _QUANTIZED[kind](
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        padding=_padding(layer),
        bias=bias,
        **given,
        **weights,
    )
    return conv


def _is_grouped(layer: nn.Module) -> bool:
    """Whether Brevitas has no scale for each output of a layer: its weights have those of a group
    on one axis."""
    return isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d) and layer.groups > 1


def _padding(
    layer: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d,
) -> tuple[int, ...]:
    if not isinstance(layer.padding, str):
        return tuple(layer.padding)
    if layer.padding == "valid":
        return (0,) * len(layer.kernel_size)
    sizes = zip(layer.dilation, layer.kernel_size, strict=True)
    return tuple(dilation * (kernel - 1) // 2 for dilation, kernel in sizes)

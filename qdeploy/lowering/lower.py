"""From a QONNX file to the integer graph, by abstract interpretation.

Every tensor of the file is followed as value = gain·n + offset with integers n and exact fractions
(`affine.py`). Convolutions and matrix products multiply gains, constants change gain and offset,
and a quantizer turns the whole map into integer thresholds (`thresholds.py`). At the end

    logit = gain·n + offset = gain·(n + offset/gain)

keeps one gain as the scale of the integer logits; offset/gain is rounded to the nearest integer and
added as a Bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from qdeploy.errors import PassError
from qdeploy.lowering.affine import (
    Activation,
    Constant,
    QuantizedConstant,
    RawInput,
    Value,
    expand,
    fractions_of,
    single,
)
from qdeploy.lowering.builder import Builder, Lowered, ThresholdSource
from qdeploy.lowering.import_qonnx import canonical
from qdeploy.lowering.integer_graph import (
    ArgMax,
    Bias,
    Flatten,
    IntegerGraph,
    IntType,
    MaxPool,
    Tensor,
    Threshold,
)
from qdeploy.lowering.intervals import Intervals
from qdeploy.lowering.lower_linear import lower_conv, lower_matmul
from qdeploy.lowering.names import layer_of
from qdeploy.lowering.quantizers import MAX_BITS, quant_parameters, quantize_constant
from qdeploy.lowering.refusal import refuse
from qdeploy.lowering.thresholds import Quantizer, code_bounds, threshold_table

ACCEPTED = (
    "quantized Conv2d and Linear, batch norm, ReLU, quantized activations, max-pooling of codes "
    "and Flatten, one behind the other"
)


def lower(path: Path, *, argmax: bool = False) -> IntegerGraph:
    """The integer graph of a QONNX file.

    Args:
        path: the file.
        argmax: end in the index of the largest logit instead of the logits.

    Raises:
        UnsupportedLayerError: a layer, or the way layers are joined, cannot become hardware.
    """
    return lower_with_affine(path, argmax=argmax).graph


def lower_with_affine(path: Path, *, argmax: bool = False) -> Lowered:
    """As `lower`, with the exact maps behind the thresholds and the names in the file."""
    return lower_model(canonical(path), argmax=argmax, name=path.name.split(".")[0])


def lower_model(model: ModelProto, *, argmax: bool = False, name: str = "network") -> Lowered:
    """As `lower_with_affine`, from a model in canonical form."""
    return _Lowering(model).run(argmax, name)


class _Lowering:
    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.builder = Builder()
        item = model.graph.input[0]
        self.input_shape = tuple(d.dim_value for d in list(item.type.tensor_type.shape.dim)[1:])
        self.values: dict[str, Value] = {
            i.name: Constant(numpy_helper.to_array(i)) for i in model.graph.initializer
        }
        self.values[item.name] = RawInput()
        self.handlers: Mapping[str, Callable[[NodeProto], Value]] = {
            "Quant": self._quant,
            "IntQuant": self._quant,
            "Conv": lambda n: lower_conv(self.builder, n, *self._operands(n)),
            "MatMul": lambda n: lower_matmul(self.builder, n, *self._operands(n)),
            "Mul": self._scale,
            "Div": self._scale,
            "Add": self._shift,
            "Sub": self._shift,
            "Relu": self._relu,
            "MaxPool": self._max_pool,
            "Flatten": self._flatten,
            "Transpose": self._transpose,
        }

    def run(self, argmax: bool, name: str) -> Lowered:
        """Walk through the file and finish the graph."""
        last = None
        for node in self.model.graph.node:
            handler = self.handlers.get(node.op_type)
            if handler is None:
                raise refuse(
                    node,
                    f"{node.op_type} has no hardware here",
                    do=f"build the network from {ACCEPTED}",
                )
            self.values[node.output[0]] = handler(node)
            if node.output[0] == self.model.graph.output[0].name:
                last = node
        value = self.values.get(self.model.graph.output[0].name)
        if last is None or not isinstance(value, Activation):
            raise PassError("the file's output does not depend on its quantized input")
        scale = self._logits(last, value)
        output = self._argmax(layer_of(last)) if argmax else "logits"
        return self.builder.finish(name, output, scale)

    def _operands(self, node: NodeProto) -> list[Value]:
        return [self.values[item] for item in node.input if item]

    def _activation(self, node: NodeProto) -> Activation:
        """The node's one activation; the rest of its inputs are constants."""
        operands = self._operands(node)
        if any(isinstance(item, RawInput) for item in operands):
            raise refuse(
                node,
                "it reads the network's input before it is quantized",
                why="from the first quantizer on everything is integers",
                do="put a QuantIdentity with scale 2**-input_bits in front of the first layer",
            )
        found = [item for item in operands if isinstance(item, Activation)]
        if len(found) != 1:
            what = "a residual add" if node.op_type == "Add" else f"a {node.op_type}"
            raise refuse(
                node,
                f"{what} of {len(found)} branches",
                why="branches need forks and joins in hardware, which are not built",
                do="use the network without residual connections: " + ACCEPTED,
            )
        return found[0]

    def _quant(self, node: NodeProto) -> Value:
        value = self.values[node.input[0]]
        if isinstance(value, Constant):
            return quantize_constant(node, self.values, value)
        if isinstance(value, RawInput):
            return self._quantize_input(node, value)
        value = self._activation(node)
        found = quant_parameters(node, self.values, MAX_BITS)
        if found.scale.size != 1:
            raise refuse(
                node,
                "its activation quantizer has one scale per channel",
                why="the sums behind it run over channels",
                do="use one scale for the layer's activations",
            )
        scale = fractions_of(found.scale)[0]
        lo = max(found.lo, 0) if value.rectified else found.lo
        return self._threshold(node, value, Quantizer(scale, lo, found.hi), found.dtype)

    def _quantize_input(self, node: NodeProto, value: RawInput) -> Activation:
        found = quant_parameters(node, self.values, MAX_BITS)
        if found.scale.size != 1 or "input" in self.builder.tensors:
            raise refuse(node, "the input has more than one scale", do="use one input quantizer")
        scale = fractions_of(found.scale)[0]
        tensor = Tensor("input", self.input_shape, found.dtype, found.lo, found.hi, scale)
        name = self.builder.add_tensor(tensor, node.output[0])
        result = Activation(name, (scale,))
        return self._flat(node, result) if value.flat else result

    def _threshold(
        self, node: NodeProto, value: Activation, quantizer: Quantizer, dtype: IntType
    ) -> Activation:
        source = self.builder.tensors[value.tensor]
        if self._changes_nothing(value, quantizer, source):
            return Activation(value.tensor, value.gain)
        gain, offset = value.expanded(source.shape[0])
        negative = frozenset(c for c, g in enumerate(gain) if g < 0)
        if negative:
            if not self.builder.is_accumulator(value.tensor) or self.builder.is_read(value.tensor):
                raise refuse(
                    node,
                    "codes are requantized with a negative factor",
                    do="keep factors between quantizers positive",
                )
            self.builder.negate_channels(value.tensor, negative)
            gain = tuple(abs(g) for g in gain)
        interval = self.builder.channel_intervals(value.tensor)
        table = threshold_table(gain, offset, quantizer, interval)
        lo, hi = code_bounds(table, quantizer.lo, interval)
        layer = layer_of(node)
        output = self.builder.add_tensor(
            Tensor(f"{layer}.code", source.shape, dtype, lo, hi, quantizer.scale), node.output[0]
        )
        self.builder.affine[output] = ThresholdSource(gain, offset, quantizer)
        self.builder.nodes.append(
            Threshold(
                self.builder.node_name(layer, "threshold"),
                layer,
                (value.tensor,),
                output,
                table,
                quantizer.lo,
            )
        )
        return Activation(output, (quantizer.scale,))

    def _changes_nothing(self, value: Activation, quantizer: Quantizer, source: Tensor) -> bool:
        return (
            single(value.gain) == quantizer.scale
            and not any(value.offset)
            and not self.builder.is_accumulator(value.tensor)
            and quantizer.lo <= source.lo
            and source.hi <= quantizer.hi
        )

    def _constants(self, node: NodeProto, value: Activation) -> tuple[Fraction, ...]:
        """The constant operand, exact, one entry or one per channel."""
        operand = next(o for o in self._operands(node) if not isinstance(o, Activation))
        if isinstance(operand, QuantizedConstant):
            array = np.broadcast_to(operand.scale, operand.codes.shape)
            exact = tuple(
                Fraction(float(s)) * int(c)
                for s, c in zip(array.reshape(-1), operand.codes.reshape(-1), strict=True)
            )
            shape = operand.codes.shape
        else:
            assert isinstance(operand, Constant)
            if not np.isfinite(operand.array).all():
                raise refuse(node, "its constants are not finite", do="train the network again")
            exact, shape = fractions_of(operand.array), operand.array.shape
        tensor = self.builder.tensors[value.tensor]
        rank = len(tensor.shape) + 1
        padded = (1,) * (rank - len(shape)) + tuple(shape)
        if len(padded) != rank or any(
            d != 1 and (axis != 1 or d != tensor.shape[0]) for axis, d in enumerate(padded)
        ):
            raise refuse(
                node,
                f"a constant of shape {tuple(shape)} on a tensor of shape {tensor.shape}",
                why="thresholds are per channel",
                do="use one constant for the tensor or one for each channel",
            )
        return exact

    def _scale(self, node: NodeProto) -> Activation:
        value = self._activation(node)
        factor = self._constants(node, value)
        if node.op_type == "Div":
            if isinstance(self.values[node.input[1]], Activation) or not all(factor):
                raise refuse(node, "a division by an activation or by zero", do="multiply instead")
            factor = tuple(1 / f for f in factor)
        if value.rectified and any(f < 0 for f in factor):
            raise refuse(
                node, "a negative factor behind a ReLU", do="quantize behind the ReLU first"
            )
        return value.times(factor)

    def _shift(self, node: NodeProto) -> Activation:
        value = self._activation(node)
        term = self._constants(node, value)
        if value.rectified and any(term):
            raise refuse(
                node,
                "a bias behind a ReLU",
                why="a quantizer has to follow the ReLU",
                do="use QuantReLU",
            )
        if node.op_type == "Sub":
            if isinstance(self.values[node.input[1]], Activation):
                return value.times((Fraction(-1),)).plus(term)
            term = tuple(-t for t in term)
        return value.plus(term)

    def _relu(self, node: NodeProto) -> Activation:
        value = self._activation(node)
        return Activation(value.tensor, value.gain, value.offset, rectified=True)

    def _max_pool(self, node: NodeProto) -> Activation:
        value = self._activation(node)
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kernel = tuple(attributes["kernel_shape"])
        stride = tuple(attributes.get("strides", (1,) * len(kernel)))
        plain = (
            len(kernel) == 2
            and not any(attributes.get("pads", ()))
            and not attributes.get("ceil_mode", 0)
            and all(d == 1 for d in attributes.get("dilations", ()))
            and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
            and sum(bool(name) for name in node.output) == 1
        )
        if not plain:
            raise refuse(
                node,
                "a max-pool with padding, dilation, ceil_mode or other than two dimensions",
                do="use MaxPool2d(kernel, stride) without padding on a size it divides",
            )
        if self.builder.is_accumulator(value.tensor) or not all(g > 0 for g in value.gain):
            raise refuse(
                node,
                "a max-pool in front of the quantizer",
                why="the pooling unit takes the maximum of codes",
                do="put it behind the quantized activation",
            )
        source = self.builder.tensors[value.tensor]
        channels, height, width = source.shape
        shape = (
            channels,
            (height - kernel[0]) // stride[0] + 1,
            (width - kernel[1]) // stride[1] + 1,
        )
        layer = layer_of(node)
        tensor = Tensor(
            f"{layer}.code", shape, source.dtype, source.lo, source.hi, single(value.gain)
        )
        output = self.builder.add_tensor(tensor, node.output[0])
        self.builder.nodes.append(
            MaxPool(
                self.builder.node_name(layer, "pool"),
                layer,
                (value.tensor,),
                output,
                (kernel[0], kernel[1]),
                (stride[0], stride[1]),
            )
        )
        return Activation(output, value.gain, value.offset, value.rectified)

    def _flatten(self, node: NodeProto) -> Value:
        axis = next((int(a.i) for a in node.attribute if a.name == "axis"), 1)
        if axis != 1:
            raise refuse(node, f"a Flatten at axis {axis}", do="use torch.nn.Flatten()")
        if isinstance(self.values[node.input[0]], RawInput):
            return RawInput(flat=True)
        return self._flat(node, self._activation(node))

    def _flat(self, node: NodeProto, value: Activation) -> Activation:
        source = self.builder.tensors[value.tensor]
        if len(source.shape) == 1:
            return value
        if self.builder.is_accumulator(value.tensor):
            raise refuse(
                node, "a Flatten in front of the quantizer", do="flatten behind the activation"
            )
        layer = layer_of(node)
        tensor = Tensor(
            f"{layer}.flat", (source.size,), source.dtype, source.lo, source.hi, source.scale
        )
        output = self.builder.add_tensor(tensor, node.output[0])
        self.builder.nodes.append(
            Flatten(self.builder.node_name(layer, "flatten"), layer, (value.tensor,), output)
        )
        per_channel = value.repeated(source.size // source.shape[0])
        return Activation(output, per_channel.gain, per_channel.offset, value.rectified)

    def _transpose(self, node: NodeProto) -> Value:
        value = self.values[node.input[0]]
        if isinstance(value, QuantizedConstant):
            axes = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
            return value.transposed(axes)
        raise refuse(
            node,
            "an activation is transposed",
            why="feature maps stream in one fixed order",
            do="keep activations as (N, C, H, W) or (N, features)",
        )

    def _logits(self, node: NodeProto, value: Activation) -> float:
        """Absorb the last offset, name the tensor `logits` and return the scale."""
        if value.rectified:
            raise refuse(node, "the network ends in a ReLU without quantizer", do="use QuantReLU")
        scale = single(value.gain)
        if scale is None or scale == 0:
            raise refuse(
                node,
                "the last layer has one scale per output channel",
                why="integer logits are only comparable on one scale",
                do="use weight scaling per layer for the last layer",
            )
        if self.builder.tensors[value.tensor].name == "input":
            raise PassError("the network has no layers")
        source = self.builder.tensors[value.tensor]
        if scale < 0:
            if not self.builder.is_accumulator(value.tensor):
                raise refuse(node, "the codes are negated at the end", do="drop the negation")
            self.builder.negate_channels(value.tensor, frozenset(range(source.shape[0])))
            scale = -scale
        output = value.tensor
        if any(value.offset):
            output = self._last_bias(node, value, scale)
        self.builder.rename(output, "logits")
        self.builder.sources["logits"] = self.model.graph.output[0].name
        tensor = self.builder.tensors["logits"]
        self.builder.tensors["logits"] = Tensor(
            "logits", tensor.shape, tensor.dtype, tensor.lo, tensor.hi, scale
        )
        if tensor.dtype.bits > 32:
            raise refuse(node, f"its logits need {tensor.dtype.bits} bits", do="use fewer bits")
        return float(scale)

    def _last_bias(self, node: NodeProto, value: Activation, scale: Fraction) -> str:
        layer, source = layer_of(node), self.builder.tensors[value.tensor]
        exact = [o / scale for o in expand(value.offset, source.shape[0])]
        bias = np.array([round(b) for b in exact], dtype=np.int64)
        worst = max(abs(b - round(b)) for b in exact)
        if worst:
            self.builder.notes.append(
                f"the bias of `{layer}` was rounded to integers: at most {float(worst):.3g} steps "
                f"of {float(scale):.6g}, {float(worst * scale):.3g} in a logit"
            )
        before = self.builder.channel_intervals(value.tensor)
        interval = Intervals(
            tuple(lo + int(b) for lo, b in zip(before.lo, bias, strict=True)),
            tuple(hi + int(b) for hi, b in zip(before.hi, bias, strict=True)),
        )
        output = self.builder.accumulator(
            layer, source.shape, interval, node.output[0], kind="biased"
        )
        self.builder.nodes.append(
            Bias(self.builder.node_name(layer, "bias"), layer, (value.tensor,), output, bias)
        )
        return output

    def _argmax(self, layer: str) -> str:
        logits = self.builder.tensors["logits"]
        if len(logits.shape) != 1:
            raise PassError("argmax needs a vector of logits")
        top = logits.shape[0] - 1
        tensor = Tensor("class", (1,), IntType.holding(0, top), 0, top)
        output = self.builder.add_tensor(tensor, self.model.graph.output[0].name)
        self.builder.nodes.append(
            ArgMax(self.builder.node_name(layer, "argmax"), layer, ("logits",), output)
        )
        return output

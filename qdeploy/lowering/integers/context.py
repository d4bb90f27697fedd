"""What the handlers of operators share: the file, what its tensors became, the graph so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from qdeploy.lowering.canonical.arrangements import ELEMENTWISE
from qdeploy.lowering.canonical.edit import attributes_of
from qdeploy.lowering.canonical.passes import shape_of
from qdeploy.lowering.canonical.refusal import refuse
from qdeploy.lowering.integers.affine import (
    AffineTensor,
    Constant,
    Fractions,
    QuantizedConstant,
    Value,
    fractions_of,
    shortened,
)
from qdeploy.lowering.integers.builder import Builder
from qdeploy.lowering.integers.codes import settled
from qdeploy.lowering.integers.places import is_placed

# What hands codes on to its readers as they are.
_PASSED_ON = (
    *("MaxPool", "Flatten", "Add", "Mul", "Div"),
    *("Concat", "Resize", "Upsample", "DepthToSpace"),
)


@dataclass
class Context:
    """One file being lowered.

    Args:
        values: tensor of the file -> what it became; maps as they were when it was made.
    """

    model: ModelProto
    builder: Builder = field(default_factory=Builder)
    values: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.readers: dict[str, list[NodeProto]] = {}
        self.makers = {name: node for node in self.model.graph.node for name in node.output}
        for node in self.model.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        for item in self.model.graph.initializer:
            self.values[item.name] = Constant(numpy_helper.to_array(item))

    def value(self, name: str) -> Value:
        """What a tensor of the file became, with the signs that its channels have now."""
        found = self.values[name]
        return self.builder.oriented(found) if isinstance(found, AffineTensor) else found

    def operands(self, node: NodeProto) -> list[Value]:
        """All inputs of a node that are given."""
        return [self.value(item) for item in node.input if item]

    def activation(self, node: NodeProto) -> AffineTensor:
        """The node's one activation; the rest of its inputs are constants."""
        operands = self.operands(node)
        found = [item for item in operands if isinstance(item, AffineTensor)]
        if len(found) != 1:
            raise refuse(
                node,
                f"a {node.op_type} of {len(found)} branches",
                why="branches can only be joined by addition",
                do="replace gates and products of branches by residual sums",
            )
        return found[0]

    def codes(self, node: NodeProto) -> list[Value]:
        """As `operands`, steps that are pending on codes made into codes."""
        found = []
        for name in node.input:
            if not name:
                continue
            value = self.value(name)
            if isinstance(value, AffineTensor) and value.steps:
                value = self.settle(name, value)
            found.append(value)
        return found

    def settle(self, name: str, value: AffineTensor) -> AffineTensor:
        """The tensor `name` of the file with nothing pending, if it can be."""
        done = settled(self.builder, self.makers[name], value)
        self.values[name] = done
        return done

    def check_places(self, node: NodeProto, name: str, value: AffineTensor) -> None:
        """Make codes of a value that depends on the kind of place, before a node that moves or
        multiplies it.

        Raises:
            UnsupportedLayerError: they would be too many, or it is sums of a layer.
        """
        if not is_placed(value) or node.op_type in (*ELEMENTWISE, "MaxPool"):
            return
        if is_placed(self.settle(name, self.builder.oriented(value))):
            raise refuse(
                node,
                f"what `{name}` means is another thing at the border of the map, and no quantizer "
                "makes codes of it",
                why="a layer before it has padding that its sums have to be corrected for",
                do="put a quantizer (QuantIdentity or QuantReLU) before this layer",
            )

    def is_padded(self, node: NodeProto) -> bool:
        """Whether a layer pads what a node makes with zeros, directly or behind pools."""
        found, seen = [node.output[0]], set()
        while found:
            name = found.pop()
            fresh = name not in seen
            seen.add(name)
            for reader in self.readers.get(name, []) if fresh else []:
                if reader.op_type in _PASSED_ON:
                    found.append(reader.output[0])
                elif reader.op_type == "ConvTranspose":
                    return True  # zeros between the pixels
                elif reader.op_type in ("Conv", "AveragePool"):
                    attributes = attributes_of(reader)
                    if any(attributes.get("pads", ())):
                        return True
        return False

    def constants(self, node: NodeProto, value: AffineTensor) -> Fractions:
        """The constant operand, exact, one entry or one per channel."""
        operand = next(o for o in self.operands(node) if not isinstance(o, AffineTensor))
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
        self.check_per_channel(node, shape, value)
        return shortened(exact)

    def check_per_channel(
        self, node: NodeProto, shape: tuple[int, ...], value: AffineTensor
    ) -> None:
        """Refuse a constant that has other entries than one, or one for each channel."""
        tensor = self.builder.tensors[value.tensor]
        # A map averaged to one pixel has two more axes in the file than in the integer graph.
        rank = len(shape_of(self.model, node.output[0])) or len(tensor.shape) + 1
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

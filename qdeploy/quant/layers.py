"""The layers that networks are built from, in float and quantized, with the same names.

A factory makes either kind, so that a network is written once and the state of its float version
loads into its quantized version. Layers return plain tensors.

Every layer is made with its name in the network, because bit widths may be given by name. `at`
enters a module:

    make.conv("conv", 3, 16, 3, 1, 1, "first")     conv
    make.at("group1").relu("act")                  group1.act
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

import brevitas.nn as qnn
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.quant.quantizers import (
    activation_quantizer,
    input_quantizer,
    signed_activation_quantizer,
    threshold_quantizer,
    weight_quantizer,
)
from qdeploy.quant.signed_input import SignedInput
from qdeploy.recipe.bits import Width
from qdeploy.recipe.quantization import Quantization
from qdeploy.recipe.quantization_rules import MOST_EVEN_BITS, MOST_LEARNED_BITS

Position = Literal["first", "inside", "last"]
Extent = int | tuple[int, int]


@dataclass(frozen=True)
class LayerFactory:
    """Makes layers for one network.

    Args:
        quantization: bit widths and scales.
        quantized: make Brevitas layers; torch's own if false, or where the width is `float`.
        prefix: the module that the layers are made for, with a dot at the end.
        used: name patterns of the recipe, with the key, that matched a layer; shared by all
            factories of a network.
        shapes: of the weights of layers that have fewer channels than they are made with, by name.
        signed_input: whether the network's input codes have both signs.
    """

    quantization: Quantization
    quantized: bool
    prefix: str = ""
    used: set[tuple[str, str]] = field(default_factory=set)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    signed_input: bool = False

    def at(self, module: str) -> LayerFactory:
        """A factory for the layers inside `module`."""
        return replace(self, prefix=f"{self.prefix}{module}.")

    def input(self) -> nn.Module:
        """Quantizer of the network's input, scale 2**-input_bits; the identity in float.

        Signed codes are those of the input minus 1/2, also in float.
        """
        made: nn.Module = nn.Identity()
        if self.quantized:
            quantizer = input_quantizer(self.quantization.input_bits, signed=self.signed_input)
            made = qnn.QuantIdentity(act_quant=quantizer, return_quant_tensor=False)
        return SignedInput(made) if self.signed_input else made

    def conv(
        self,
        name: str,
        inputs: int,
        outputs: int,
        kernel: Extent,
        stride: Extent = 1,
        padding: Extent = 0,
        position: Position = "inside",
        *,
        groups: int = 1,
        dilation: int = 1,
    ) -> nn.Conv2d:
        """Convolution without bias; sizes in channels and pixels, one for both directions or
        (height, width)."""
        weights = self.weights(name, position)
        kind = qnn.QuantConv2d if weights else nn.Conv2d
        if groups == 1:
            inputs, outputs = self._fewer(name, inputs, outputs)
        elif groups == inputs == outputs:
            inputs = outputs = groups = self._fewer(name, 1, outputs)[1]
        conv: nn.Conv2d = kind(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=False,
            **weights,
        )
        return conv

    def linear(
        self, name: str, inputs: int, outputs: int, position: Position = "inside"
    ) -> nn.Linear:
        """Fully connected layer without bias."""
        weights = self.weights(name, position)
        kind = qnn.QuantLinear if weights else nn.Linear
        inputs, outputs = self._fewer(name, inputs, outputs)
        linear: nn.Linear = kind(inputs, outputs, bias=False, **weights)
        return linear

    def relu(self, name: str) -> nn.Module:
        """ReLU followed by an unsigned quantizer, or learned thresholds in the place of both."""
        q = self.quantization
        bits = self._bits(name, "activation_bits", q.activation_bits)
        if not self.quantized or bits == "float":
            return nn.ReLU()
        if q.activation_thresholds == "learned" and bits <= MOST_LEARNED_BITS:
            thresholds = threshold_quantizer(bits, power_of_two=q.scale == "power_of_two")
            return qnn.QuantIdentity(act_quant=thresholds, return_quant_tensor=False)
        return qnn.QuantReLU(act_quant=self._unsigned(bits), return_quant_tensor=False)

    def join(self, name: str) -> nn.Module:
        """Unsigned quantizer of sums of activations; the identity in float."""
        bits = self._bits(name, "activation_bits", self.quantization.activation_bits)
        if not self.quantized or bits == "float":
            return nn.Identity()
        return qnn.QuantIdentity(act_quant=self._unsigned(bits), return_quant_tensor=False)

    def stream(self, name: str) -> nn.Module:
        """Signed quantizer of residual branches and linear bottlenecks; the identity in float.

        Raises:
            RecipeError: for one bit, which has no codes of both signs.
        """
        q = self.quantization
        default: Width = "float" if q.activation_bits == "float" else q.residual_bits
        bits = self._bits(name, "activation_bits", default)
        if bits == 1:
            raise RecipeError(
                f"the signed quantizer `{self.prefix}{name}` cannot have 1 bit",
                where="quantization.layers",
                why="one bit of two's complement is 0 or -1",
                do="give it 2 bits or more",
            )
        if not self.quantized or bits == "float":
            return nn.Identity()
        quantizer = signed_activation_quantizer(
            bits, power_of_two=q.scale == "power_of_two", pact=q.clip_gradient == "pact"
        )
        return qnn.QuantIdentity(act_quant=quantizer, return_quant_tensor=False)

    def check_patterns(self) -> None:
        """Reject patterns of the recipe that matched no layer.

        Raises:
            RecipeError: names the pattern.
        """
        for pattern, settings in self.quantization.layers.items():
            for kind in settings.model_dump(exclude_none=True):
                if (pattern, kind) not in self.used:
                    raise RecipeError(
                        f"no layer that takes `{kind}` has a name that matches `{pattern}`",
                        where="quantization.layers",
                        why="the width would silently have no effect",
                        do="give full names, such as group1.block1.conv1, or use wildcards, "
                        "such as group1.*",
                    )

    def _fewer(self, name: str, inputs: int, outputs: int) -> tuple[int, int]:
        """Inputs per group and outputs of a layer that may have lost some."""
        shape = self.shapes.get(self.prefix + name, (outputs, inputs))
        return min(inputs, shape[1]), min(outputs, shape[0])

    def weights(self, name: str, position: Position, *, one_scale: bool = False) -> dict[str, Any]:
        """Keyword arguments for Brevitas' layer of that name; none for float weights.

        Args:
            one_scale: whatever the recipe says.
        """
        q = self.quantization
        widths: dict[Position, Width] = {
            "first": q.first_layer_bits,
            "inside": q.weight_bits,
            "last": q.last_layer_bits,
        }
        default = "float" if q.weight_bits == "float" else widths[position]
        bits = self._bits(name, "weight_bits", default)
        if not self.quantized or bits == "float":
            return {}
        quantizer = weight_quantizer(
            bits,
            power_of_two=q.scale == "power_of_two",
            # All logits have one scale, so that integer logits are comparable.
            per_channel=q.weight_scaling == "per_channel" and position != "last" and not one_scale,
            levels=q.weight_levels,
            entropy=q.weight_normalization == "entropy"
            and position == "inside"
            and bits <= MOST_EVEN_BITS,
        )
        return {"weight_quant": quantizer, "return_quant_tensor": False}

    def _unsigned(self, bits: int) -> type:
        q = self.quantization
        return activation_quantizer(
            bits, power_of_two=q.scale == "power_of_two", pact=q.clip_gradient == "pact"
        )

    def _bits(
        self, name: str, kind: Literal["weight_bits", "activation_bits"], default: Width
    ) -> Width:
        """The width of the last pattern that matches the name and gives one."""
        for pattern, settings in self.quantization.layers.items():
            given: Width | None = getattr(settings, kind)
            if given is not None and fnmatchcase(self.prefix + name, pattern):
                self.used.add((pattern, kind))
                default = given
        return default

"""The layers networks are built from, once in float and once quantized, with the same names.

A factory makes one kind or the other, so that a network is written once and the state of its float
version loads into its quantized version. Layers return plain tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import brevitas.nn as qnn
from torch import nn

from qdeploy.quant.quantizers import activation_quantizer, input_quantizer, weight_quantizer
from qdeploy.recipe.models import Quantization

Position = Literal["first", "inside", "last"]


@dataclass(frozen=True)
class LayerFactory:
    """Makes layers for one network.

    Args:
        quantization: bit widths and scales.
        quantized: Brevitas layers when true, torch's own otherwise.
    """

    quantization: Quantization
    quantized: bool

    def input(self) -> nn.Module:
        """Quantizer of the network's input, scale 2**-input_bits; the identity in float."""
        if not self.quantized:
            return nn.Identity()
        return qnn.QuantIdentity(
            act_quant=input_quantizer(self.quantization.input_bits), return_quant_tensor=False
        )

    def conv(
        self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, position: Position
    ) -> nn.Conv2d:
        """Convolution without bias; sizes in channels and pixels."""
        if not self.quantized:
            return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        return qnn.QuantConv2d(
            inputs,
            outputs,
            kernel,
            stride=stride,
            padding=padding,
            bias=False,
            weight_quant=self._weights(position),
            return_quant_tensor=False,
        )

    def linear(self, inputs: int, outputs: int, position: Position) -> nn.Linear:
        """Fully connected layer without bias."""
        if not self.quantized:
            return nn.Linear(inputs, outputs, bias=False)
        return qnn.QuantLinear(
            inputs,
            outputs,
            bias=False,
            weight_quant=self._weights(position),
            return_quant_tensor=False,
        )

    def relu(self) -> nn.Module:
        """ReLU with an unsigned quantizer behind it."""
        if not self.quantized:
            return nn.ReLU()
        return qnn.QuantReLU(act_quant=self._activations(), return_quant_tensor=False)

    def join(self) -> nn.Module:
        """Unsigned quantizer of a sum of activations; the identity in float."""
        if not self.quantized:
            return nn.Identity()
        return qnn.QuantIdentity(act_quant=self._activations(), return_quant_tensor=False)

    def _weights(self, position: Position) -> type:
        q = self.quantization
        bits = {
            "first": q.first_layer_bits,
            "inside": q.weight_bits,
            "last": q.last_layer_bits,
        }[position]
        return weight_quantizer(
            bits,
            power_of_two=q.scale == "power_of_two",
            # The head's logits keep one scale: integer logits are then comparable.
            per_channel=q.weight_scaling == "per_channel" and position != "last",
        )

    def _activations(self) -> type:
        q = self.quantization
        return activation_quantizer(q.activation_bits, power_of_two=q.scale == "power_of_two")

"""Small quantized networks with branches, for tests of the lowering.

`make` is the factory of `tests/lowering/conftest.py`.
"""

from __future__ import annotations

from typing import Any, Literal

import brevitas.nn as qnn
import torch
from brevitas.quant import Int8ActPerTensorFixedPoint, Int8ActPerTensorFloat
from torch import nn

Kind = Literal["basic", "preact", "depthwise"]


def signed(make: Any, bits: int) -> nn.Module:
    """A signed quantizer: the grid both branches of a residual sum share."""
    quant = {"float": Int8ActPerTensorFloat, "power_of_two": Int8ActPerTensorFixedPoint}
    return qnn.QuantIdentity(
        act_quant=quant[make.scale].let(bit_width=bits), return_quant_tensor=False
    )


def conv(make: Any, inputs: int, outputs: int, kernel: int, **other: Any) -> nn.Module:
    """A convolution of any kernel, stride, dilation and groups."""
    quant = make.weights(make.weight_bits, make.per_channel)
    return qnn.QuantConv2d(inputs, outputs, kernel, bias=False, weight_quant=quant, **other)


class Basic(nn.Module):
    """conv, batch norm, ReLU, conv, batch norm; the sum with the shortcut, ReLU."""

    def __init__(self, make: Any, inputs: int, outputs: int, stride: int, join_bits: int) -> None:
        super().__init__()
        self.conv1 = conv(make, inputs, outputs, 3, stride=stride, padding=1)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.act1 = make.relu()
        self.conv2 = conv(make, outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                conv(make, inputs, outputs, 1, stride=stride), nn.BatchNorm2d(outputs)
            )
        self.join = signed(make, join_bits)
        self.act2 = make.relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(self.act1(self.norm1(self.conv1(x)))))
        return self.act2(self.join(y) + self.join(self.shortcut(x)))


class PreActivation(nn.Module):
    """batch norm, ReLU, conv, twice; the codes of the sum go on without ReLU."""

    def __init__(self, make: Any, inputs: int, outputs: int, stride: int, join_bits: int) -> None:
        super().__init__()
        self.norm1, self.act1 = nn.BatchNorm2d(inputs), make.relu()
        self.conv1 = conv(make, inputs, outputs, 3, stride=stride, padding=1)
        self.norm2, self.act2 = nn.BatchNorm2d(outputs), make.relu()
        self.conv2 = conv(make, outputs, outputs, 3, padding=1)
        self.shortcut = None
        if stride > 1 or inputs != outputs:
            self.shortcut = conv(make, inputs, outputs, 1, stride=stride)
        self.join = signed(make, join_bits)
        self.sum = signed(make, join_bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.act1(self.norm1(x))
        y = self.conv2(self.act2(self.norm2(self.conv1(a))))
        skip = x if self.shortcut is None else self.shortcut(a)
        return self.sum(self.join(y) + self.join(skip))


class Depthwise(nn.Module):
    """Pointwise, depthwise, pointwise without ReLU: the codes are signed (linear bottleneck)."""

    def __init__(self, make: Any, inputs: int, outputs: int, stride: int, join_bits: int) -> None:
        super().__init__()
        hidden = 2 * inputs + 1
        self.expand = conv(make, inputs, hidden, 1)
        self.norm1, self.act1 = nn.BatchNorm2d(hidden), make.relu()
        self.depthwise = conv(
            make, hidden, hidden, 3, stride=stride, padding=2, dilation=2, groups=hidden
        )
        self.norm2, self.act2 = nn.BatchNorm2d(hidden), make.relu()
        self.project, self.norm3 = conv(make, hidden, outputs, 1), nn.BatchNorm2d(outputs)
        self.join = signed(make, join_bits)
        self.sum = signed(make, join_bits)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act2(self.norm2(self.depthwise(self.act1(self.norm1(self.expand(x))))))
        y = self.join(self.norm3(self.project(y)))
        return self.sum(y + self.join(x)) if self.residual else y


BLOCKS = {"basic": Basic, "preact": PreActivation, "depthwise": Depthwise}


class BranchingNetwork(nn.Module):
    """A stem with overlapping max-pool, two blocks, global average pooling, a head."""

    input_shape = (1, 9, 8)

    def __init__(self, make: Any, kind: Kind, join_bits: int = 4) -> None:
        super().__init__()
        block = BLOCKS[kind]
        self.input_quant = make.input()
        self.stem, self.norm, self.act = make.conv(1, 5, padding=1), nn.BatchNorm2d(5), make.relu()
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.body = nn.Sequential(block(make, 5, 5, 1, join_bits), block(make, 5, 7, 2, join_bits))
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = make.linear(7, 4, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.act(self.norm(self.stem(self.input_quant(x)))))
        return self.head(self.flatten(self.average(self.body(x))))


class ResidualDense(nn.Module):
    """Fully connected with residual connections, the sum times one half."""

    input_shape = (1, 4, 4)

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.input_quant, self.flatten = make.input(), nn.Flatten()
        self.first, self.norm, self.act = make.linear(16, 9), nn.BatchNorm1d(9), make.relu()
        self.hidden, self.norm2 = make.linear(9, 9), nn.BatchNorm1d(9)
        self.relu, self.join, self.quant = make.relu(), signed(make, 5), make.relu()
        self.head = make.linear(9, 4, last=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.first(self.flatten(self.input_quant(x)))))
        y = self.relu(self.norm2(self.hidden(x)))
        return self.head(self.quant((self.join(x) + self.join(y)) * 0.5))


class Segmentation(nn.Module):
    """Logits of every pixel: dilated convolution, then a convolution of kernel 1."""

    input_shape = (1, 8, 7)

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.input_quant = make.input()
        self.stem, self.norm = make.conv(1, 4, padding=1, stride=2), nn.BatchNorm2d(4)
        self.act = make.relu()
        self.pad = nn.ZeroPad2d((2, 1, 1, 2))
        self.wide = conv(make, 4, 6, 3, dilation=(1, 2), padding=1)
        self.norm2, self.act2 = nn.BatchNorm2d(6), make.relu()
        self.head = qnn.QuantConv2d(6, 3, 1, bias=True, weight_quant=make.weights(8, False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.stem(self.input_quant(x))))
        return self.head(self.act2(self.norm2(self.wide(self.pad(x)))))

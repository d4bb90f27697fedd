"""Residual networks: three groups for CIFAR, four for ImageNet, with five kinds of blocks.

    stem, group1, group2, ..., [norm, act,] average, flatten, head

The output of a block is either activations (basic, bottleneck) or a signed residual stream, which
one quantizer `groupN.stream` keeps on one grid within each group; a stream ends in batch norm, ReLU
and an activation quantizer. The average is one sum per channel; its 1/N becomes part of the scale.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from qdeploy.networks.blocks import BasicBlock, PreactBlock
from qdeploy.networks.bottleneck import EXPANSION, Bottleneck, PreactBottleneck
from qdeploy.networks.inverted import InvertedBlock
from qdeploy.networks.sections import ResnetNetwork
from qdeploy.quant.layers import LayerFactory

PLAIN: dict[str, Callable[..., nn.Module]] = {
    "basic": BasicBlock,
    "preact": PreactBlock,
    "bottleneck": Bottleneck,
    "preact-bottleneck": PreactBottleneck,
}
STREAMS = frozenset({"preact", "preact-bottleneck", "depthwise"})


class Stem(nn.Module):
    """First layer with batch norm, quantizer and optional max-pooling.

    Activations are rectified and quantized here. A stream is quantized by the quantizer of the
    first group: before depthwise blocks after a ReLU; before pre-activation blocks, which have
    their own ReLU, without one. Pooling comes last, so that it works on codes.
    """

    def __init__(self, make: LayerFactory, inputs: int, network: ResnetNetwork) -> None:
        super().__init__()
        large = network.stem == "7x7-pool"
        kernel, stride = (7, 2) if large else (3, 1)
        outputs = network.widths[0]
        self.conv = make.conv("conv", inputs, outputs, kernel, stride, kernel // 2, "first")
        self.norm = nn.BatchNorm2d(outputs)
        if network.block not in STREAMS:
            self.act = make.relu("act")
        else:
            self.act = nn.ReLU() if network.block == "depthwise" else nn.Identity()
        self.pool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()

    def forward(self, x: torch.Tensor, stream: nn.Module | None) -> torch.Tensor:
        """(N, C, H, W) -> (N, width, H', W'), activations or, with `stream`, codes on its grid."""
        x = self.act(self.norm(self.conv(x)))
        if stream is not None:
            x = stream(x)
        y: torch.Tensor = self.pool(x)
        return y


class Group(nn.Module):
    """Blocks of one width, `block1` and so on; the first one has the stride."""

    def __init__(
        self,
        make: LayerFactory,
        network: ResnetNetwork,
        inputs: int,
        outputs: int,
        blocks: int,
        stride: int,
    ) -> None:
        super().__init__()
        self.stream = make.stream("stream") if network.block in STREAMS else None
        self._order = [f"block{index + 1}" for index in range(blocks)]
        for name in self._order:
            inner = make.at(name)
            if network.block == "depthwise":
                same = inputs == outputs and stride == 1
                block: nn.Module = InvertedBlock(
                    inner,
                    inputs,
                    network.expansion * outputs,
                    outputs,
                    stride=stride,
                    residual="same" if same else "projected",
                )
            else:
                block = PLAIN[network.block](inner, inputs, outputs, stride)
            self.add_module(name, block)
            inputs, stride = outputs, 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations or stream (N, inputs, H, W) -> the same kind, (N, outputs, H', W')."""
        for name in self._order:
            block = getattr(self, name)
            x = block(x) if self.stream is None else block(x, self.stream)
        return x


class Resnet(nn.Module):
    """The whole network: (N, C, H, W) in [0, 1) to logits (N, classes)."""

    def __init__(
        self,
        network: ResnetNetwork,
        make: LayerFactory,
        input_shape: tuple[int, int, int],
        classes: int,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.input_quant = make.input()
        self.stem = Stem(make.at("stem"), input_shape[0], network)
        streams = network.block in STREAMS
        channels = network.widths[0]
        factor = EXPANSION if network.block.endswith("bottleneck") else 1
        self._groups = []
        for index, (blocks, width) in enumerate(zip(network.groups, network.widths, strict=True)):
            name, stride = f"group{index + 1}", 1 if index == 0 else 2
            outputs = factor * width
            group = Group(make.at(name), network, channels, outputs, blocks, stride)
            self.add_module(name, group)
            self._groups.append(name)
            channels = outputs
        self.norm = nn.BatchNorm2d(channels) if streams else None
        self.act = make.relu("act") if streams else None
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = make.linear("head", channels, classes, "last")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        first: Group = getattr(self, self._groups[0])
        x = self.stem(self.input_quant(x), first.stream)
        for name in self._groups:
            x = getattr(self, name)(x)
        if self.norm is not None and self.act is not None:
            x = self.act(self.norm(x))
        logits: torch.Tensor = self.head(self.flatten(self.average(x)))
        return logits

"""MobileNetV2 (Sandler et al. 2018) with a width multiplier, and its features.

    stem, stage1, stage2, ..., top, average, flatten, head

Linear bottlenecks are signed; one quantizer `stageN.stream` serves a whole stage. ReLU replaces
ReLU6, because the activation quantizers clip at a learned value anyway.
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.networks.inverted import InvertedBlock, Residual
from qdeploy.networks.sections import InvertedFeatures, InvertedStage, MobilenetV2Network
from qdeploy.quant.layers import LayerFactory, Position


class ConvNormAct(nn.Module):
    """Convolution, batch norm, ReLU; with a quantizer of its own unless `shared`: the network then
    quantizes this output and others on one grid."""

    def __init__(
        self,
        make: LayerFactory,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        position: Position = "inside",
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.conv = make.conv("conv", inputs, outputs, kernel, stride, kernel // 2, position)
        self.norm = nn.BatchNorm2d(outputs)
        self.act = nn.ReLU() if shared else make.relu("act")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y: torch.Tensor = self.act(self.norm(self.conv(x)))
        return y


class Stage(nn.Module):
    """Inverted residual blocks of one width, `block1` and so on."""

    def __init__(
        self,
        make: LayerFactory,
        stage: InvertedStage,
        inputs: int,
        outputs: int,
        stride: int,
        dilations: tuple[int, int],
    ) -> None:
        super().__init__()
        self.stream = make.stream("stream")
        self._order = [f"block{index + 1}" for index in range(stage.blocks)]
        for index, name in enumerate(self._order):
            # Decided by the stride without dilation, so that weights of the strided network fit.
            keeps = (stage.stride if index == 0 else 1) == 1 and inputs == outputs
            residual: Residual = "same" if index else "requantized"
            block = InvertedBlock(
                make.at(name),
                inputs,
                stage.expansion * inputs,
                outputs,
                stride=stride,
                dilation=dilations[min(index, 1)],
                residual=residual if keeps else "none",
                expand=stage.expansion > 1,
            )
            self.add_module(name, block)
            inputs, stride = outputs, 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) -> stream (N, outputs, H', W')."""
        for name in self._order:
            x = getattr(self, name)(x, self.stream)
        return x


class Features(nn.Module):
    """Base of the networks on MobileNetV2's features: stem and stages.

    A stage that would exceed `output_stride` keeps the size of the map; the blocks after its first
    one then dilate their kernels by the missing stride.
    """

    def __init__(
        self,
        network: InvertedFeatures,
        make: LayerFactory,
        input_shape: tuple[int, int, int],
        stem_stride: int,
        output_stride: int | None = None,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.input_quant = make.input()
        channels = network.scaled(network.stem_channels)
        self.stem = ConvNormAct(
            make.at("stem"), input_shape[0], channels, 3, stem_stride, position="first"
        )
        self._stages = []
        reached, dilation = stem_stride, 1
        for index, stage in enumerate(network.stages):
            name, outputs = f"stage{index + 1}", network.scaled(stage.channels)
            stride, before = stage.stride, dilation
            if output_stride is not None and reached * stride > output_stride:
                dilation, stride = dilation * stride, 1
            reached *= stride
            self.add_module(
                name, Stage(make.at(name), stage, channels, outputs, stride, (before, dilation))
            )
            self._stages.append(name)
            channels = outputs
        self.channels = channels

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Images -> the last stage's stream (N, channels, H', W')."""
        x = self.stem(self.input_quant(x))
        for name in self._stages:
            x = getattr(self, name)(x)
        return x


class MobilenetV2(Features):
    """The whole network: (N, C, H, W) in [0, 1) to logits (N, classes)."""

    def __init__(
        self,
        network: MobilenetV2Network,
        make: LayerFactory,
        input_shape: tuple[int, int, int],
        classes: int,
    ) -> None:
        super().__init__(network, make, input_shape, network.stem_stride)
        last = network.last_channels
        last = max(last, network.scaled(last)) if network.multiplier > 1 else last
        self.top = ConvNormAct(make.at("top"), self.channels, last, 1)
        self.average = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = make.linear("head", last, classes, "last")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.average(self.top(self.features(x)))
        logits: torch.Tensor = self.head(self.flatten(x))
        return logits

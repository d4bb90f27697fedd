"""Plain convolutional networks: convolution stages, hidden fully connected layers, a head.

On an input of one row, such as a series, kernels, strides, padding and pooling are along the row.
"""

from __future__ import annotations

import torch
from torch import nn

from qdeploy.errors import RecipeError
from qdeploy.networks.hidden import Hidden
from qdeploy.networks.sections import ConvnetNetwork, ConvStage
from qdeploy.quant.layers import LayerFactory, Position


class Stage(nn.Module):
    """Convolution, batch norm, ReLU, max-pooling. Pooling comes last, so that it works on codes."""

    def __init__(
        self,
        make: LayerFactory,
        inputs: int,
        stage: ConvStage,
        position: Position,
        row: bool = False,
    ) -> None:
        super().__init__()
        kernel, stride, pads, pool = (
            (across, along) if row else along
            for across, along in (
                (1, stage.kernel),
                (1, stage.stride),
                (0, stage.pads),
                (1, stage.pool),
            )
        )
        self.conv = make.conv("conv", inputs, stage.channels, kernel, stride, pads, position)
        self.norm = nn.BatchNorm2d(stage.channels)
        self.act = make.relu("act")
        self.pool = nn.MaxPool2d(pool) if stage.pool > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, channels, H', W')."""
        y: torch.Tensor = self.pool(self.act(self.norm(self.conv(x))))
        return y


class Convnet(nn.Module):
    """The whole network: (N, C, H, W) in [0, 1) to logits (N, classes)."""

    def __init__(
        self,
        network: ConvnetNetwork,
        make: LayerFactory,
        input_shape: tuple[int, int, int],
        classes: int,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        channels, height, width = input_shape
        self.input_quant = make.input()
        row = height == 1
        names = []
        for index, stage in enumerate(network.stages):
            name = f"stage{index + 1}"
            position: Position = "first" if index == 0 else "inside"
            wide = stage.model_copy(update={"channels": network.scaled(stage.channels)})
            self.add_module(name, Stage(make.at(name), channels, wide, position, row))
            names.append(name)
            channels = wide.channels
            height = 1 if row else _extent(height, stage, index)
            width = _extent(width, stage, index)
        self.flatten = nn.Flatten()
        names.append("flatten")
        inputs = channels * height * width
        for index, units in enumerate(network.hidden):
            name = f"hidden{index + 1}"
            wide_units = network.scaled(units)
            self.add_module(name, Hidden(make.at(name), inputs, wide_units, "inside"))
            names.append(name)
            inputs = wide_units
        self.head = make.linear("head", inputs, classes, "last")
        self._order = ["input_quant", *names, "head"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        for name in self._order:
            x = getattr(self, name)(x)
        return x


def _extent(size: int, stage: ConvStage, index: int) -> int:
    """Height or width after a stage."""
    convolved = (size + 2 * stage.pads - stage.kernel) // stage.stride + 1
    pooled = convolved // stage.pool
    if size + 2 * stage.pads < stage.kernel or pooled < 1:
        raise RecipeError(
            f"nothing is left of the image after stage {index + 1}",
            where=f"network.stages.{index}",
            why=f"{size} pixels with kernel {stage.kernel}, stride {stage.stride}, "
            f"padding {stage.pads} and pooling {stage.pool} leave no pixel",
            do="use fewer stages, a smaller kernel, stride or pooling, or more padding",
        )
    return pooled

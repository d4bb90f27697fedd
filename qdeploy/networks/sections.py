"""The built-in networks: the recipe's section of each, and the class that builds it.

Widths, depths and block structures follow Boo, Shin & Sung 2020 (figure 4, tables 1, 4 and 5) and
Sandler et al. 2018 for MobileNetV2.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from qdeploy.recipe.networks import NetworkSection, NetworkSpec
from qdeploy.recipe.section import Section

Channels = Annotated[int, Field(ge=1, le=65536)]
LAYERS_PER_BLOCK = {
    "basic": 2,
    "preact": 2,
    "depthwise": 3,
    "bottleneck": 3,
    "preact-bottleneck": 3,
}

# Units or channels that a layer may have at most.
WIDEST = 65536


def widened(width: int, multiplier: float) -> int:
    """`width` times the multiplier, to the nearest whole number, at least 1.

    A network at fewer bits may win back by width what it lost (Mishra et al. 2018, WRPN).

    Raises:
        ValueError: the layer would be wider than `WIDEST`.
    """
    wide = max(1, round(width * multiplier))
    if wide > WIDEST:
        raise ValueError(
            f"a layer of {width} units or channels has {wide:,} with the multiplier "
            f"{multiplier:g}: at most {WIDEST:,} are possible"
        )
    return wide


class FcdnnNetwork(NetworkSection):
    """Fully connected network: `depth` hidden layers of `width` units and a linear head."""

    type: Literal["fcdnn"]
    width: int = Field(default=64, ge=1, le=WIDEST, description="units in each hidden layer")
    multiplier: float = Field(default=1.0, gt=0, le=64, description="factor of the width")
    depth: int = Field(default=3, ge=1, le=256, description="number of hidden layers")
    residual: bool = Field(
        default=False,
        description="add each hidden output to the activation of the next layer and multiply "
        "by 0.5 (section 3.2); all hidden outputs then share one scale",
    )

    @model_validator(mode="after")
    def _is_not_too_wide(self) -> FcdnnNetwork:
        widened(self.width, self.multiplier)
        return self

    @property
    def units(self) -> int:
        """Units in each hidden layer, with the multiplier."""
        return widened(self.width, self.multiplier)


class ConvStage(Section):
    """Convolution, batch norm, ReLU and optional max-pooling; along the row where the input has one
    row, as series do."""

    channels: int = Field(ge=1, le=65536, description="output channels")
    kernel: int = Field(default=3, ge=1, le=31, description="height and width of the kernel")
    stride: int = Field(default=1, ge=1, le=31, description="vertical and horizontal stride")
    padding: int | None = Field(
        default=None, ge=0, le=30, description="zeros on each side; default: kernel // 2"
    )
    pool: int = Field(
        default=1,
        ge=1,
        le=31,
        description="window and stride of the max-pooling after it; 1 is none",
    )

    @property
    def pads(self) -> int:
        """Zeros on each side."""
        return self.kernel // 2 if self.padding is None else self.padding


class ConvnetNetwork(NetworkSection):
    """Convolution stages, hidden fully connected layers and a linear head."""

    type: Literal["convnet"]
    stages: list[ConvStage] = Field(min_length=1, description="convolution stages, in order")
    hidden: list[Channels] = Field(
        default_factory=list, description="widths of the fully connected layers before the head"
    )
    multiplier: float = Field(
        default=1.0, gt=0, le=64, description="factor of all widths, those in `hidden` too"
    )

    @model_validator(mode="after")
    def _is_not_too_wide(self) -> ConvnetNetwork:
        for width in (*(stage.channels for stage in self.stages), *self.hidden):
            widened(width, self.multiplier)
        return self

    def scaled(self, width: int) -> int:
        """Channels or units, with the multiplier."""
        return widened(width, self.multiplier)


class ResnetNetwork(NetworkSection):
    """Residual network: stem, groups of blocks, average pooling, head. Channels double and the
    stride is 2 at the start of every group but the first; shortcuts are 1x1 projections where
    shapes change."""

    type: Literal["resnet"]
    block: Literal["basic", "preact", "depthwise", "bottleneck", "preact-bottleneck"] = Field(
        default="basic", description="kind of residual block (figure 4)"
    )
    depth: int | None = Field(
        default=None,
        ge=5,
        le=2000,
        description="number of layers, for three equal groups: 6n+2 with blocks of two layers, "
        "9n+2 with blocks of three; give this or `blocks`",
    )
    blocks: list[Annotated[int, Field(ge=1, le=500)]] | None = Field(
        default=None, min_length=1, max_length=8, description="number of blocks in each group"
    )
    width: int = Field(default=16, ge=1, le=8192, description="channels of the first group")
    multiplier: float = Field(default=1.0, gt=0, le=64, description="factor of all widths")
    stem: Literal["3x3", "7x7-pool"] = Field(
        default="3x3",
        description="first layer: 3x3, or 7x7 with stride 2 and a 3x3 max-pooling with stride 2",
    )
    expansion: int = Field(
        default=6,
        ge=1,
        le=64,
        description="hidden channels of a depthwise block per output channel",
    )

    @model_validator(mode="after")
    def _one_depth(self) -> ResnetNetwork:
        if (self.depth is None) == (self.blocks is None):
            raise ValueError("a resnet takes either `depth` or `blocks`, not both")
        layers = 3 * LAYERS_PER_BLOCK[self.block]
        if self.depth is not None and (self.depth < layers + 2 or (self.depth - 2) % layers):
            raise ValueError(
                f"with {self.block} blocks a resnet of three equal groups has {layers}n + 2 "
                f"layers, such as {layers + 2} or {2 * layers + 2}, but `depth` is {self.depth}"
            )
        return self

    @property
    def groups(self) -> list[int]:
        """Blocks in each group."""
        if self.blocks is not None:
            return list(self.blocks)
        assert self.depth is not None
        return [(self.depth - 2) // (3 * LAYERS_PER_BLOCK[self.block])] * 3

    @property
    def widths(self) -> list[int]:
        """Channels of each group; the outputs of bottleneck blocks have four times as many."""
        first = max(1, round(self.width * self.multiplier))
        return [first << index for index in range(len(self.groups))]


class InvertedStage(Section):
    """Inverted residual blocks of one width: 1x1 expansion, 3x3 depthwise, linear 1x1."""

    expansion: int = Field(ge=1, le=64, description="hidden channels per input channel")
    channels: int = Field(ge=1, le=8192, description="output channels before the multiplier")
    blocks: int = Field(ge=1, le=256, description="number of blocks")
    stride: int = Field(default=1, ge=1, le=4, description="stride of the first block")


def _mobilenet_stages() -> list[InvertedStage]:
    """Table 2 of Sandler et al. 2018."""
    rows = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    return [InvertedStage(expansion=t, channels=c, blocks=n, stride=s) for t, c, n, s in rows]


class InvertedFeatures(Section):
    """Settings of MobileNetV2 that networks on its features share."""

    multiplier: float = Field(default=1.0, gt=0, le=16, description="factor of all widths")
    divisor: int = Field(
        default=8, ge=1, le=64, description="widths are rounded to multiples of this"
    )
    stem_channels: int = Field(
        default=32, ge=1, le=8192, description="channels of the first layer before the multiplier"
    )
    stages: list[InvertedStage] = Field(
        default_factory=_mobilenet_stages, min_length=1, description="stages, in order"
    )

    def scaled(self, channels: int) -> int:
        """`channels` times the multiplier, as a multiple of the divisor, less than 10 % smaller."""
        wanted = channels * self.multiplier
        rounded = max(self.divisor, int(wanted + self.divisor / 2) // self.divisor * self.divisor)
        return rounded + self.divisor if rounded < 0.9 * wanted else rounded


class MobilenetV2Network(NetworkSection, InvertedFeatures):
    """MobileNetV2 with ReLU; by default the stem has stride 1, for images of 32x32 pixels."""

    type: Literal["mobilenetv2"]
    stem_stride: int = Field(default=1, ge=1, le=2, description="stride of the first layer")
    last_channels: int = Field(
        default=1280,
        ge=1,
        le=65536,
        description="channels before the pooling; scaled by a multiplier above 1 only",
    )


class DeeplabNetwork(NetworkSection, InvertedFeatures):
    """Segmentation: MobileNetV2's features, a 1x1 convolution, and logits per pixel. A stage that
    would exceed `output_stride` dilates its kernels instead of striding."""

    type: Literal["deeplab"]
    stem_stride: int = Field(default=2, ge=1, le=2, description="stride of the first layer")
    output_stride: Literal[1, 2, 4, 8, 16, 32] = Field(
        default=16, description="image pixels per pixel of the logits, in each direction"
    )
    top_channels: int = Field(default=256, ge=1, le=65536, description="channels before the head")
    image_pooling: bool = Field(
        default=False,
        description="concatenate the mean of the whole map to every pixel, as published for "
        "MobileNetV2; not for hardware, which would have to store the map until its last pixel",
    )


class TracedSection(NetworkSection):
    """A module of one's own, as `qdeploy.train` traced it; the section is not written by hand."""

    type: Literal["traced"]
    title: str = Field(default="network", max_length=256, description="name of the module's class")
    operations: list[dict[str, JsonValue]] = Field(
        min_length=2, max_length=8000, description="what the network does, in order"
    )
    output: str = Field(description="the operation whose result the network gives")
    weights: str = Field(
        max_length=64, description="digest of the weights that training starts from"
    )


FCDNN = NetworkSpec(FcdnnNetwork, "qdeploy.networks.fcdnn:Fcdnn")
CONVNET = NetworkSpec(ConvnetNetwork, "qdeploy.networks.convnet:Convnet")
RESNET = NetworkSpec(ResnetNetwork, "qdeploy.networks.resnet:Resnet")
MOBILENET_V2 = NetworkSpec(MobilenetV2Network, "qdeploy.networks.mobilenet:MobilenetV2")
DEEPLAB = NetworkSpec(DeeplabNetwork, "qdeploy.networks.deeplab:Deeplab", "segmentation")
TRACED = NetworkSpec(TracedSection, "qdeploy.networks.traced:build")


class PythonNetwork(NetworkSection):
    """What a function of one's own makes, named as `python:module:function`."""

    arguments: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="arguments of the function, by name, besides the three that it gets",
    )


PYTHON = NetworkSpec(PythonNetwork, "qdeploy.networks.plugin:build")

"""The networks of the ladder: which recipe, what is changed, how many frames, which folding."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A network of the ladder.

    Args:
        name: of its rows.
        recipe: below models/; `overrides` keep its kind and make it smaller or change its bits.
        frames: through torch, qonnx, int and dataflow.
        rtl_frames: how many of them go through RTL, with random stalls.
        fps: of the folding for simulation speed.
        shape: (channels, height, width) of the input; None: that of the recipe's data set.
        classes: of the head; None: those of the data set.
        argmax: put the argmax into the hardware; for every pixel where the logits are a map.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    frames: int = 200
    rtl_frames: int = 200
    fps: float = 20_000.0
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    argmax: bool = False


QUICK = ("network.width=8",)
RESNET = "boo2020/resnet8_w2a2.yaml"
MOBILENET = "boo2020/mobilenetv2_x0.25_w2a2.yaml"
# Four groups, 7x7 stem with stride 2, padded max-pool: the ImageNet family in small.
IMAGENET = (
    "network.depth=null",
    "network.blocks=[1,2,1,1]",
    "network.width=4",
    "network.stem=7x7-pool",
)
# Output stride 16: the last stage dilates its kernels instead of its stride.
DEEPLAB = (
    "network.type=deeplab",
    "network.stem_stride=2",
    "network.multiplier=1.0",
    "network.divisor=1",
    "network.stem_channels=8",
    "network.top_channels=16",
    "network.stages=[{expansion: 1, channels: 6, blocks: 1},"
    "{expansion: 2, channels: 8, blocks: 2, stride: 2},"
    "{expansion: 2, channels: 12, blocks: 2, stride: 2},"
    "{expansion: 3, channels: 12, blocks: 1, stride: 2},"
    "{expansion: 3, channels: 16, blocks: 2, stride: 2}]",
)
LADDER: tuple[Entry, ...] = (
    Entry("digits-fcdnn-w2a2", "quickstart/digits_fcdnn_w2a2.yaml", fps=500_000.0),
    Entry(
        "digits-fcdnn-residual",
        "quickstart/digits_fcdnn_w2a2.yaml",
        ("network.residual=true", "network.width=32"),
        fps=100_000.0,
    ),
    Entry(
        "fashion-convnet-w2a2",
        "quickstart/fashion_convnet_w2a2.yaml",
        frames=200,
        rtl_frames=50,
        fps=2_000.0,
    ),
    Entry("resnet8-basic", RESNET, QUICK, frames=50, rtl_frames=20, fps=2_000.0),
    Entry(
        "resnet8-powers-of-two",
        RESNET,
        (*QUICK, "quantization.scale=power_of_two", "quantization.residual_bits=4"),
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
    ),
    Entry(
        "resnet8-per-channel-w3a4",
        RESNET,
        (
            *QUICK,
            "quantization.weight_scaling=per_channel",
            "quantization.weight_bits=3",
            "quantization.activation_bits=4",
        ),
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
    ),
    Entry(
        "resnet8-preact",
        RESNET,
        (*QUICK, "network.block=preact"),
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
    ),
    Entry(
        "resnet11-depthwise",
        RESNET,
        (*QUICK, "network.block=depthwise", "network.depth=11"),
        frames=50,
        rtl_frames=20,
        fps=1_000.0,
    ),
    Entry(
        "resnet8-mlperf-tiny",
        "mlperf_tiny/resnet8_w2a2.yaml",
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
    ),
    Entry(
        "resnet20-width16",
        "boo2020/resnet20_width16_w2a2.yaml",
        frames=20,
        rtl_frames=20,
        fps=1_000.0,
    ),
    Entry(
        "mobilenetv2-x0.25-w4a4",
        "boo2020/mobilenetv2_x0.25_w2a2.yaml",
        ("quantization.weight_bits=4", "quantization.activation_bits=4"),
        frames=20,
        rtl_frames=20,
        fps=1_000.0,
    ),
    Entry(
        "resnet17-bottleneck",
        RESNET,
        (*IMAGENET, "network.block=bottleneck"),
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
        shape=(3, 40, 40),
        classes=11,
    ),
    Entry(
        "resnet17-preact-bottleneck",
        RESNET,
        (*IMAGENET, "network.block=preact-bottleneck"),
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
        shape=(3, 32, 40),
        classes=7,
    ),
    Entry(
        "deeplab-mobilenetv2",
        MOBILENET,
        DEEPLAB,
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
        shape=(3, 48, 40),
        classes=5,
    ),
    Entry(
        "deeplab-mobilenetv2-class-per-pixel",
        MOBILENET,
        (*DEEPLAB, "quantization.weight_bits=4", "quantization.activation_bits=4"),
        frames=50,
        rtl_frames=20,
        fps=2_000.0,
        shape=(3, 40, 56),
        classes=7,
        argmax=True,
    ),
)

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
        argmax: compute the argmax in hardware; per pixel where the logits are a map.
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
FAMILIES: tuple[Entry, ...] = (
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


FCDNN = "quickstart/digits_fcdnn_w2a2.yaml"
CONVNET = "quickstart/fashion_convnet_w2a2.yaml"
RESNET20 = "boo2020/resnet20_width16_w2a2.yaml"
# As deep as in the paper, narrow where depth is the question.
DEPTHS: tuple[Entry, ...] = tuple(
    Entry(name, recipe, overrides, frames=20, rtl_frames=20, fps=fps)
    for name, recipe, overrides, fps in (
        ("resnet20-x2", "boo2020/resnet20_x2_w2a2.yaml", (), 500.0),
        ("resnet20-preact", RESNET20, ("network.block=preact", "network.width=8"), 1_000.0),
        ("resnet32-width4", RESNET20, ("network.depth=32", "network.width=4"), 1_000.0),
        ("resnet56-width4", RESNET20, ("network.depth=56", "network.width=4"), 1_000.0),
        (
            "resnet29-depthwise-width4",
            "boo2020/resnet29_depthwise_w2a2.yaml",
            ("network.width=4",),
            1_000.0,
        ),
    )
)
SMALL = (
    "network.stages=[{channels: 8, kernel: 5, stride: 2},{channels: 12},"
    "{channels: 12, pool: 2},{channels: 16, pool: 2}]",
    "network.hidden=[24]",
)
W1A1 = ("quantization.weight_bits=1", "quantization.activation_bits=1")
ALL_W1A1 = (
    *W1A1,
    "quantization.first_layer_bits=1",
    "quantization.last_layer_bits=1",
    "quantization.input_bits=1",
)
ALL_W2A2 = ("quantization.first_layer_bits=2", "quantization.last_layer_bits=2")
CHANNELS = "quantization.weight_scaling=per_channel"
POWERS = "quantization.scale=power_of_two"
# Bit widths of single layers: weights, activations.
MIXED_FCDNN = (
    "quantization.layers={hidden1.*: {weight_bits: 8, activation_bits: 8},"
    "hidden2.*: {weight_bits: 5, activation_bits: 1},"
    "hidden3.*: {weight_bits: 1, activation_bits: 6},"
    "hidden4.*: {weight_bits: 3, activation_bits: 4},"
    "hidden5.*: {weight_bits: 2, activation_bits: 2}}"
)
MIXED_CONVNET = (
    "quantization.layers={stage1.*: {weight_bits: 5, activation_bits: 6},"
    "stage2.*: {weight_bits: 1, activation_bits: 1},"
    "stage3.*: {weight_bits: 3, activation_bits: 8},"
    "stage4.*: {weight_bits: 8, activation_bits: 4},"
    "hidden1.*: {weight_bits: 2, activation_bits: 2}}"
)
MIXED_RESNET = (
    "quantization.layers={stem.*: {activation_bits: 6},"
    "group1.block1.*: {weight_bits: 3, activation_bits: 4},"
    "group1.block1.join: {activation_bits: 5},"
    "group2.block1.conv1: {weight_bits: 1}, group2.block1.act1: {activation_bits: 1},"
    "group2.block1.conv2: {weight_bits: 8}, group2.block1.act: {activation_bits: 8},"
    "group3.block1.conv1: {weight_bits: 5}, group3.block1.act1: {activation_bits: 2},"
    "'*.shortcut.conv': {weight_bits: 8}}"
)
BITS: tuple[Entry, ...] = (
    *(
        Entry(f"fcdnn-{name}", FCDNN, overrides, fps=100_000.0)
        for name, overrides in (
            ("w1a2", ("quantization.weight_bits=1",)),
            ("w1a1", W1A1),
            ("all-w1a1", ALL_W1A1),
            ("mixed-1-to-8", ("network.depth=5", MIXED_FCDNN)),
        )
    ),
    *(
        Entry(f"convnet-{name}", CONVNET, (*SMALL, *overrides), fps=10_000.0)
        for name, overrides in (
            ("w1a2", ("quantization.weight_bits=1",)),
            ("w1a1", W1A1),
            ("mixed-1-to-8", (MIXED_CONVNET,)),
            ("4-levels-per-channel-powers", ("quantization.weight_levels=all", CHANNELS, POWERS)),
            ("all-w2a2-input4", (*ALL_W2A2, "quantization.input_bits=4")),
        )
    ),
    *(
        Entry(f"resnet8-{name}", RESNET, (*QUICK, *overrides), frames=50, rtl_frames=20, fps=2000.0)
        for name, overrides in (
            ("residual2", ("quantization.residual_bits=2",)),
            ("residual3", ("quantization.residual_bits=3",)),
            ("residual8", ("quantization.residual_bits=8",)),
            ("preact-residual3", ("network.block=preact", "quantization.residual_bits=3")),
            ("w1a2", ("quantization.weight_bits=1",)),
            ("w1a1", W1A1),
            ("mixed-1-to-8", (MIXED_RESNET,)),
            ("4-levels", ("quantization.weight_levels=all",)),
            ("per-channel", (CHANNELS,)),
            ("per-channel-powers", (CHANNELS, POWERS)),
            ("all-w2a2-input2", (*ALL_W2A2, "quantization.input_bits=2")),
            ("input1", ("quantization.input_bits=1",)),
        )
    ),
    # Linear bottlenecks: signed codes of 8 and of 2 bits between convolutions of 2 bits.
    Entry("mobilenetv2-x0.25-w2a2", MOBILENET, (), frames=20, rtl_frames=20, fps=1_000.0),
    Entry(
        "mobilenetv2-x0.25-all-w2a2-residual2",
        MOBILENET,
        (*ALL_W2A2, "quantization.residual_bits=2"),
        frames=20,
        rtl_frames=20,
        fps=1_000.0,
    ),
)
LADDER = (*FAMILIES, *DEPTHS, *BITS)

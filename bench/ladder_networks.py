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
)

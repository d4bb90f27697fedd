"""Why an operation cannot become integers, and the nearest one that can."""

from __future__ import annotations

from collections.abc import Mapping

_CURVE = "use nn.ReLU, nn.ReLU6 or nn.LeakyReLU"
_NORM = "use nn.BatchNorm1d or nn.BatchNorm2d, whose numbers are fixed at inference"
_PRODUCT = "use convolutions and nn.Linear alone: products of two activations have no hardware"
_ATTENTION = "use convolutions and nn.Linear alone: attention has no hardware"
_ORDER = "keep maps as (N, channels, height, width), and flatten them once, before nn.Linear"
_RECURRENT = "use convolutions over the series: hardware streams, and keeps no state"
_ENLARGED = "use nn.Upsample(mode='nearest'), nn.PixelShuffle or nn.ConvTranspose2d"
_FLAT = "use layers for images or for series"
_WEIGHTS = (
    "use nn.Conv1d, nn.Conv2d and nn.Linear as they are: weights that are computed, or handed to a "
    "function, are in no layer"
)
_MAXIMA = "use nn.MaxPool2d for maxima over a window of the map"

# Name of a module's class, of a function or of a method -> what to do.
_NEAREST: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("GELU", "SiLU", "Swish", "Mish", "ELU", "SELU", "CELU", "Hardswish"),
            *("Softplus", "GLU", "Tanhshrink", "Hardsigmoid", "HardSwish", "HardSigmoid"),
            *("HardMish", "QuickGELU", "Sigmoid", "Tanh", "Softsign", "LogSigmoid"),
            *("RReLU", "PReLU", "Threshold", "gelu", "silu", "mish", "elu", "selu"),
            *("celu", "hardswish", "softplus", "glu", "prelu", "hardsigmoid", "sigmoid"),
            *("tanh", "softsign", "abs", "pow", "exp", "log", "sqrt"),
        ),
        _CURVE,
    ),
    **dict.fromkeys(
        (
            *("GroupNorm", "LayerNorm", "InstanceNorm1d", "InstanceNorm2d"),
            *("LocalResponseNorm", "LayerNorm2d", "RMSNorm", "SyncBatchNorm"),
            *("BatchNorm3d", "group_norm", "layer_norm", "instance_norm", "normalize"),
            *("local_response_norm", "batch_norm"),
        ),
        _NORM,
    ),
    **dict.fromkeys(
        (*("mul", "matmul", "bmm", "einsum", "div", "baddbmm"),),
        _PRODUCT,
    ),
    **dict.fromkeys(
        (*("MultiheadAttention", "scaled_dot_product_attention"),),
        _ATTENTION,
    ),
    **dict.fromkeys(
        (
            *("permute", "transpose", "chunk", "split", "unbind", "getitem", "stack"),
            *("roll", "squeeze", "view", "reshape", "unsqueeze", "expand", "flip"),
            *("flatten", "narrow", "repeat", "Flatten", "Unflatten", "ChannelShuffle"),
        ),
        _ORDER,
    ),
    **dict.fromkeys(
        (*("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"),),
        _RECURRENT,
    ),
    **dict.fromkeys(
        (
            *("UpsamplingBilinear2d", "upsample_bilinear", "ConvTranspose3d", "MaxUnpool2d"),
            *("PixelUnshuffle", "pixel_unshuffle", "Fold", "grid_sample", "max_unpool2d"),
        ),
        _ENLARGED,
    ),
    **dict.fromkeys(
        (*("Conv3d", "conv3d", "MaxPool3d", "AvgPool3d"),),
        _FLAT,
    ),
    **dict.fromkeys(
        (*("conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "linear"),),
        _WEIGHTS,
    ),
    **dict.fromkeys(
        (
            *("AdaptiveMaxPool2d", "adaptive_max_pool2d", "LPPool2d"),
            *("FractionalMaxPool2d", "amax", "max", "maximum"),
        ),
        _MAXIMA,
    ),
    "Embedding": "hand the network numbers: look tables up before it",
    "softmax": "let it be the network's last step, or leave it to the loss",
}


def nearest(name: str) -> str:
    """What to do in the place of the operation of that name."""
    return _NEAREST.get(
        name,
        "use nn.Conv1d, nn.Conv2d, nn.Linear, batch norm, ReLU, pools, sums, torch.cat and flatten",
    )

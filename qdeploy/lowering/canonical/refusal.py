"""The one way to say that a layer cannot become hardware.

A refusal names the node of the file and the layer of the network it came from, what was found, the
pattern that is expected around such a node, why, and what to change.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import NodeProto

from qdeploy.errors import UnsupportedLayerError
from qdeploy.lowering.canonical.module_names import module_path

WEIGHTED = "codes -> {} with quantized weights -> batch norm or bias -> ReLU -> quantizer"
AFFINE = (
    "a layer's sums -> one factor and one term for each channel (batch norm) -> ReLU -> quantizer"
)
RISING = "a layer's sums -> batch norm -> an activation that never falls -> quantizer"
AVERAGE = "quantizer -> average over the whole map or windows -> the next layer"
LOGITS = "codes -> the last Conv2d or Linear -> bias or batch norm -> logits"
NEAREST = "codes of a map -> Upsample(scale_factor=2 or another integer, mode='nearest')"
SHUFFLE = "quantizer -> PixelShuffle -> the next layer"
VECTOR = "quantizer -> Flatten -> Linear"
# The pattern that a node of each kind has to be part of.
PATTERNS: Mapping[str, str] = {
    "Conv": WEIGHTED.format("Conv2d"),
    "MatMul": WEIGHTED.format("Linear"),
    "Gemm": WEIGHTED.format("Linear"),
    "Quant": "a layer's sums, batch norm, ReLU -> quantizer -> the codes of the next layer",
    "IntQuant": "a layer's sums, batch norm, ReLU -> quantizer -> the codes of the next layer",
    "MultiThreshold": "a layer's sums, batch norm -> MultiThreshold -> the codes of the next layer",
    "Trunc": "codes -> average or sum -> Trunc -> the codes of the next layer",
    "BipolarQuant": "weights, or a layer's sums and batch norm -> -1 and +1 -> the next layer",
    "Add": "one shared quantizer on both branches -> their sum -> ReLU or quantizer",
    "Sub": "one shared quantizer on both branches -> their difference -> ReLU or quantizer",
    "MaxPool": "quantizer -> MaxPool2d -> the next layer, or MaxPool2d -> quantizer",
    "Flatten": VECTOR,
    "Reshape": VECTOR,
    "Squeeze": VECTOR,
    "ConvTranspose": WEIGHTED.format("ConvTranspose2d"),
    "Concat": "codes of maps of one size -> Concat along the channels -> quantizer or next layer",
    **dict.fromkeys(("Resize", "Upsample"), NEAREST),
    "DepthToSpace": SHUFFLE,
    "Pad": "zeros around a map -> Conv2d",
    **dict.fromkeys(("GlobalAveragePool", "AveragePool", "ReduceMean"), AVERAGE),
    **dict.fromkeys(("Mul", "Div", "BatchNormalization"), AFFINE),
    **dict.fromkeys(("Clip", "HardSigmoid", "LeakyRelu", "PRelu", "Sigmoid", "Tanh"), RISING),
}
ANYWHERE = (
    "a convolution's or fully connected layer's sums go to batch norm or bias, then to ReLU or "
    "another activation that never falls, then to a quantizer; only codes go on to other layers"
)
ACCEPTED = (
    "quantized Conv2d and Linear, batch norm, ReLU and other activations that never fall, "
    "quantizers, sums and Concat of branches, max-pooling, average pooling, nearest Upsample, "
    "ConvTranspose2d, PixelShuffle and Flatten"
)
CURVE = (
    "everything between a layer's sums and a quantizer becomes integer thresholds: of curves there "
    "are ReLU, Clip, LeakyReLU, PReLU, HardSigmoid, Sigmoid and Tanh",
    "use QuantReLU, or one of these with a quantizer behind it, and retrain",
)
PART = (
    "every reader of a stream gets all of it",
    "give the whole map to a convolution of kernel 1, which can pick channels",
)
NORM = (
    "it needs mean and variance of the frame while the frame passes; batch norm's are fixed",
    "use batch norm and retrain",
)
LOOP = ("a frame goes through the layers once", "unroll it, or use a feed-forward network")
# Operators without hardware: why, and what to use instead.
OPERATORS: Mapping[str, tuple[str, str]] = {
    "Softmax": (
        "the largest logit decides",
        "end the network at the logits; the host can compute probabilities from them",
    ),
    "ArgMax": (
        "the index is computed from the integer logits, not in the file",
        "end the network at the logits and ask for the class on export",
    ),
    "SpaceToDepth": (
        "pixels of several rows would become channels of one",
        "use a convolution whose stride is its kernel, which reads the same pixels",
    ),
    **dict.fromkeys(("Slice", "Split", "Gather"), PART),
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "LpNormalization"), NORM),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), LOOP),
    **dict.fromkeys(
        (
            *("HardSwish", "Softplus", "Softsign", "Mish", "Gelu", "Erf"),
            *("Elu", "Celu", "Selu", "ThresholdedRelu"),
            *("Exp", "Log", "Pow", "Sqrt", "Abs"),
        ),
        CURVE,
    ),
}


def refuse(
    node: NodeProto,
    found: str,
    *,
    why: str | None = None,
    do: str | None = None,
    expected: str | None = None,
) -> UnsupportedLayerError:
    """An error that names the layer and the node, what was found and what was expected there.

    Args:
        node: of the QONNX file.
        found: what is wrong with it.
        why: the reason behind the rule, where it is not obvious.
        do: what to change.
        expected: the pattern such a node has to be part of; by default that of its kind.
    """
    return refuse_layer(
        module_path(node),
        node.name or node.output[0],
        node.op_type,
        found,
        why=why,
        do=do,
        expected=expected,
    )


def refuse_operator(node: NodeProto) -> UnsupportedLayerError:
    """As `refuse`, for an operator of which no use at all can become hardware."""
    why, do = OPERATORS.get(node.op_type, (None, f"build the network from {ACCEPTED}"))
    return refuse(node, f"{node.op_type} has no hardware here", why=why, do=do)


def refuse_layer(
    layer: str,
    node: str,
    kind: str,
    found: str,
    *,
    why: str | None = None,
    do: str | None = None,
    expected: str | None = None,
) -> UnsupportedLayerError:
    """As `refuse`, for a node of any graph: its layer, its name and its kind."""
    return UnsupportedLayerError(
        f"layer `{layer}` cannot become hardware: {found}",
        where=f"node `{node}` ({kind})",
        expected=expected or PATTERNS.get(kind, ANYWHERE),
        why=why,
        do=do,
    )

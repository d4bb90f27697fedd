"""`qdeploy.post_training`: a float module becomes a quantized one without training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qdeploy.errors import UserError
from qdeploy.observer import SILENT, Observer
from qdeploy.ptq.options import DEFAULT_METHODS, PostTraining

if TYPE_CHECKING:
    import torch
    from torch import nn

_BATCH = 32


def post_training(
    module: nn.Module,
    frames: torch.Tensor,
    *,
    weights: int = 8,
    activations: int = 8,
    methods: Sequence[str] = DEFAULT_METHODS,
    percentile: float | None = None,
    input_range: tuple[float, float] | None = None,
    seed: int = 0,
    observer: Observer = SILENT,
) -> nn.Module:
    """Quantize a trained float module with a few hundred frames, without training it.

    Args:
        module: float, trained; it is left alone.
        frames: float32 calibration frames as the module takes them, (N, C, H, W), (N, C, L) or
            (N, F). All are used: 100 to 1,000 are enough.
        weights: bits of the inner layers' weights, 2 to 8; the first and the last layer have 8.
        activations: bits after each ReLU, 2 to 8.
        methods: of `equalize`, `bias-correction` and one of `gpfq`, `gptq`, `adaround`.
        percentile: share of an activation's values that are not clipped, in percent; by default
            scales have the least squared error.
        input_range: smallest and largest value of the input; by default that of `frames`.
        seed: of methods that draw.
        observer: gets progress.

    Returns:
        The quantized module, in evaluation mode. `qdeploy.export` makes hardware of it. The same
        call gives the same bits.

    Raises:
        UserError: bits out of range, methods that exclude each other, or frames that are none.
        UnsupportedLayerError: operations that cannot be quantized, all of them with their lines.

    Example:
        >>> import torch, qdeploy
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
        >>> quantized = qdeploy.post_training(net, torch.rand(64, 8), methods=["gptq"])
        >>> quantized(torch.rand(2, 8)).shape
        torch.Size([2, 3])
    """
    from qdeploy.ptq.of_module import quantized_module

    options = PostTraining(
        weight_bits=weights,
        activation_bits=activations,
        methods=tuple(methods),
        steps="mse" if percentile is None else "percentile",
        percentile=100.0 if percentile is None else percentile,
        seed=seed,
    )
    if frames.dim() < 2 or not len(frames) or not bool(frames.isfinite().all()):
        raise UserError(
            f"calibration frames of shape {tuple(frames.shape)} are none, or not finite",
            do="give a few hundred frames (N, ...) as the module takes them",
        )
    span = input_range or (min(0.0, float(frames.min())), float(frames.max()))
    return quantized_module(module, list(frames.split(_BATCH)), options, span, observer)

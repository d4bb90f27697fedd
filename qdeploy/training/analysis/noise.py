"""Quantization noise of each layer, and how much it grows on its way to the output.

Signal-to-quantization-noise ratio (Lin et al. 2016), with x the values before a quantizer Q:

    SQNR = 10 · log10( Σ x² / Σ (x - Q(x))² )    decibels

Noise gain of the activation quantizer k. Let f be the network with quantized weights whose
activations are clipped but not rounded, f_k the same with quantizer k rounding too, e_k the error
it makes (section 2.2 of Boo et al. 2020: a noise of at most Δ/2) and a_k what it quantizes:

    gain_k = ( Σ (f_k - f)² / Σ f² ) / ( Σ e_k² / Σ a_k² )

so 0 dB is an error that is as large at the output, relative to the signal there, as where it was
made. Logits count without their mean over classes, which has no influence on the decision. This
growth is what L_Lip, eq. (8), limits. Learned thresholds round the values of a curve f
(`quant/thresholds.py`): f(x) takes the place of x, clipped or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from qdeploy.quant.quantizers import code_range, learned_thresholds, tensor_quantizer
from qdeploy.training.analysis.trace import (
    WeightLayer,
    activation_quantizers,
    evaluating,
    parts,
    width,
)


@dataclass(frozen=True)
class ActivationNoise:
    """Noise of one activation quantizer.

    Args:
        name: of its layer.
        bits: of its codes.
        step: Δ.
        sqnr_db: ratio of signal and error, rounding and clipping together.
        clipped: share of its values beyond the clip, in [0, 1].
        gain_db: growth of its rounding error to the output; NaN where it makes none.
        output_db: its rounding error at the output against the signal there.
    """

    name: str
    bits: int
    step: float
    sqnr_db: float
    clipped: float
    gain_db: float
    output_db: float


@dataclass
class _Sums:
    """Sums of squares at one quantizer over all its calls, and of its noise at the output."""

    signal: float = 0.0
    rounding: float = 0.0
    error: float = 0.0
    beyond: int = 0
    values: int = 0
    noise: float = 0.0


def weight_sqnr(layer: WeightLayer) -> float:
    """Of the layer's weights, in decibels; infinite for float weights."""
    weight = layer.layer.weight.detach().double()
    error = weight - layer.quantized_weight().double()
    return decibels(weight.square().sum().item(), error.square().sum().item())


def activation_noise(
    network: nn.Module, images: torch.Tensor
) -> tuple[list[ActivationNoise], float]:
    """Noise of every activation quantizer over `images`, (N, C, H, W), in order of the network.

    Returns:
        The rows, and the noise of all of them together at the output, in decibels against the
        signal there (minus infinity with float activations).
    """
    proxies = activation_quantizers(network)
    sums = {name: _Sums() for name in proxies}
    # Gains are ratios of sums over images, so images may come in parts that fit in memory.
    with evaluating(network), torch.no_grad():
        signal = together = 0.0
        for part in parts(images):
            with _rounding(proxies, (), sums):
                reference = _centred(network(part))
            signal += reference.square().sum().item()
            for name in proxies:
                sums[name].noise += _distance(network, part, reference, proxies, (name,))
            together += _distance(network, part, reference, proxies, tuple(proxies))
    rows = []
    for name, proxy in proxies.items():
        one = sums[name]
        at_output = decibels(one.noise, signal)
        rows.append(
            ActivationNoise(
                name,
                width(proxy),
                float(proxy.scale().item()),  # type: ignore[operator]
                decibels(one.signal, one.error),
                one.beyond / max(1, one.values),
                at_output - decibels(one.rounding, one.signal),
                at_output,
            )
        )
    return rows, decibels(together, signal)


def decibels(power: float, reference: float) -> float:
    """10 · log10(power / reference); infinite where one of them is 0, NaN for both."""
    if power == 0.0 or reference == 0.0:
        return math.nan if power == reference else math.copysign(math.inf, power - reference)
    return 10.0 * math.log10(power / reference)


def _distance(
    network: nn.Module,
    images: torch.Tensor,
    reference: torch.Tensor,
    proxies: dict[str, nn.Module],
    rounded: tuple[str, ...],
) -> float:
    """Sum of squares between `reference` and the output with the quantizers `rounded`."""
    with _rounding(proxies, rounded, {}):
        return (_centred(network(images)) - reference).square().sum().item()


@contextmanager
def _rounding(
    proxies: dict[str, nn.Module], rounded: tuple[str, ...], sums: dict[str, _Sums]
) -> Iterator[None]:
    """Only the quantizers named in `rounded` round, all clip; fill the `sums` there are."""

    def hook(name: str, proxy: nn.Module) -> torch.utils.hooks.RemovableHandle:
        lo, hi = code_range(proxy)
        curve = learned_thresholds(proxy)

        def replace(
            _module: nn.Module, inputs: tuple[torch.Tensor], output: tuple[torch.Tensor, ...]
        ) -> tuple[torch.Tensor, ...]:
            (x,), (quantized, scale) = inputs, output[:2]
            if curve is None:
                clipped = torch.minimum(torch.maximum(x, lo * scale), hi * scale)
                wanted, beyond = x, clipped != x
            else:
                wanted = clipped = curve.unrounded(x, scale)
                beyond = clipped >= hi * scale
            if name in sums:
                one = sums[name]
                one.signal += wanted.double().square().sum().item()
                one.rounding += (quantized - clipped).double().square().sum().item()
                one.error += (quantized - wanted).double().square().sum().item()
                one.beyond += int(beyond.sum())
                one.values += x.numel()
            return output if name in rounded else (clipped, *output[1:])

        return tensor_quantizer(proxy).register_forward_hook(replace)

    handles = [hook(name, proxy) for name, proxy in proxies.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _centred(logits: torch.Tensor) -> torch.Tensor:
    values = logits.double()
    return values - values.mean(dim=1, keepdim=True)

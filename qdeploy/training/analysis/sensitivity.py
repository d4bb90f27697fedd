"""What it costs a float network that one operand is quantized, for each width: two measures.

noise    Ω = mean of KL(softmax(z) || softmax(z'))

with the logits z of the float network and z' of the one in which the weights of one layer, or the
activations of one quantizer, are rounded and clipped (ZeroQ, Cai et al. 2020, equation 2). It is
what the loss rises by where the float network's own answers are the labels; with the true labels
the loss may fall by chance, and a choice of widths would pay for luck.

hessian  Ω = 1/2 · (Tr(H) / n) · ||Q(x) - x||²

with the Hessian H of the task's loss by the n elements x (HAWQ-V2, Dong et al. 2020): the rise of
the loss to second order where the error lies in no direction in particular. For activations H is
that of one image, and Ω the mean over images. A negative trace counts as 0: no error is worth
having. The trace does not depend on the width, so one estimate serves all of them.

Both are measured without retraining, which heals part of the error; what they are for is to compare
layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from qdeploy.observer import SILENT, Observer
from qdeploy.recipe.layer_widths import Operand
from qdeploy.training.analysis.hessian import hessian_traces
from qdeploy.training.analysis.trace import evaluating, parts
from qdeploy.training.methods.distillation import divergence

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# Operand -> bits -> Ω, in nats.
Sensitivities = dict[Operand, dict[int, float]]


def noise_sensitivities(
    network: nn.Module,
    quantized: Mapping[int, nn.Module],
    operands: Sequence[Operand],
    images: torch.Tensor,
    observer: Observer = SILENT,
) -> Sensitivities:
    """The measure `noise` of each operand, 0 or more.

    Args:
        network: in float; as before afterwards.
        quantized: bits -> the same network with all operands at that width.
        images: input of the network, (N, C, H, W).
        observer: follows the pairs of operand and width.
    """
    found: Sensitivities = {operand: {} for operand in operands}
    pairs = [(operand, bits) for operand in operands for bits in sorted(quantized)]
    with evaluating(network), torch.no_grad():
        wanted = [network(part).double() for part in parts(images)]
        for operand, bits in observer.track(pairs, "sensitivity", unit="widths"):
            with _quantized(network, operand, quantized[bits]):
                total = 0.0
                for part, logits in zip(parts(images), wanted, strict=True):
                    own = network(part).double()
                    total += len(part) * float(divergence(own, logits, 1.0))
            found[operand][bits] = max(0.0, total / len(images))
    return found


def hessian_sensitivities(
    network: nn.Module,
    quantized: Mapping[int, nn.Module],
    operands: Sequence[Operand],
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    loss: Loss = nn.functional.cross_entropy,
    probes: int = 16,
    seed: int = 0,
    observer: Observer = SILENT,
) -> Sensitivities:
    """The measure `hessian` of each operand, 0 or more.

    Args:
        network, quantized, images: as for `noise_sensitivities`.
        labels: int64, as the loss takes them.
        loss: mean loss of logits and labels.
        probes: draws of Hutchinson's method for each part of the images.
        seed: of the draws.
        observer: follows the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    modules = dict(network.named_modules())
    weights = [one for one in operands if one.key == "weight_bits"]
    places = [one for one in operands if one.key == "activation_bits"]
    traces = dict.fromkeys(operands, 0.0)
    sizes = {one: modules[one.layer].weight.numel() for one in weights}
    errors: Sensitivities = {one: dict.fromkeys(quantized, 0.0) for one in operands}
    for one in weights:
        for bits, other in quantized.items():
            exact = modules[one.layer].weight.detach().double()
            errors[one][bits] = float((_weight(other, one) - exact).square().sum())
    split = parts(images)
    start, total = 0, float(probes * len(split))
    with evaluating(network), observer.meter("Hessian traces", total, "draws") as meter:
        for part in split:
            wanted = labels[start : start + len(part)]
            start += len(part)
            share = len(part) / len(images)
            with _watched(network, places) as seen:
                value = loss(network(part), wanted)
            tensors: list[Any] = [modules[one.layer].weight for one in weights]
            owners = list(weights)
            for one in places:
                outputs = [output for _, output in seen[one]]
                tensors += outputs
                owners += [one] * len(outputs)
                sizes[one] = sum(output[0].numel() for output in outputs)
            found = hessian_traces(value, tensors, probes, generator, meter.advance)
            for owner, trace in zip(owners, found, strict=True):
                traces[owner] += share * trace
            with torch.no_grad():
                for one in places:
                    for bits, other in quantized.items():
                        errors[one][bits] += _activation_error(other, one, seen[one]) / len(images)
    return {
        one: {
            bits: 0.5 * max(0.0, traces[one]) / sizes[one] * error
            for bits, error in errors[one].items()
        }
        for one in operands
    }


Seen = list[tuple[torch.Tensor, torch.Tensor]]


@contextmanager
def _watched(network: nn.Module, places: Sequence[Operand]) -> Iterator[dict[Operand, Seen]]:
    """What goes into and comes out of the places, call by call."""
    seen: dict[Operand, Seen] = {one: [] for one in places}
    handles = [
        network.get_submodule(one.layer).register_forward_hook(
            lambda _m, inputs, output, one=one: seen[one].append((inputs[0], output))
        )
        for one in places
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _activation_error(quantized: nn.Module, operand: Operand, seen: Seen) -> float:
    quantizer = quantized.get_submodule(operand.layer)
    return sum(float((quantizer(x) - y).double().square().sum()) for x, y in seen)


@contextmanager
def _quantized(network: nn.Module, operand: Operand, other: nn.Module) -> Iterator[None]:
    """The float network with one operand as in the quantized network `other`."""
    module = network.get_submodule(operand.layer)
    if operand.key == "activation_bits":
        quantizer = other.get_submodule(operand.layer)
        handle = module.register_forward_hook(lambda _m, inputs, _output: quantizer(inputs[0]))
        try:
            yield
        finally:
            handle.remove()
        return
    weight: Any = module.weight
    kept = weight.detach().clone()
    try:
        weight.copy_(_weight(other, operand))
        yield
    finally:
        weight.copy_(kept)


def _weight(network: nn.Module, operand: Operand) -> torch.Tensor:
    """What the layer multiplies by, float64."""
    layer: Any = network.get_submodule(operand.layer)
    value = layer.quant_weight()
    return getattr(value, "value", value).detach().double()

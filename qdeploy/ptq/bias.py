"""Bias correction through Brevitas: the mean error of each channel is subtracted.

    b += E[W·x] - E[Q(W)·x]          Nagel et al. 2019, section 4.2, from data

A layer of a recipe's network has no bias; the batch norm that reads it takes the correction, since
norm(y + b) has the mean μ - b in the place of μ.
"""

from __future__ import annotations

import torch
from brevitas.graph.calibrate import bias_correction_mode
from torch import nn

from qdeploy.observer import Observer
from qdeploy.ptq.steps import Batches
from qdeploy.quant.quantizers import is_quantized


def correct_bias(network: nn.Module, batches: Batches, observer: Observer) -> None:
    """Correct the mean of every quantized layer, in place.

    A layer without a bias, whose output no batch norm reads alone, stays as it is.

    Args:
        network: in evaluation mode, with all scales and codes chosen.
        batches: of its input.
    """
    norms = _norms_behind(network, batches[0])
    without = [
        (name, layer)
        for name, layer in network.named_modules()
        if is_quantized(layer) and layer.bias is None
    ]
    with torch.no_grad():
        with bias_correction_mode(network):
            for batch in observer.track(batches, "bias correction", unit="batches"):
                network(batch)
        for name, layer in without:
            bias, norm = layer.bias, norms.get(name)
            layer.register_parameter("bias", None)
            if norm is not None and bias is not None:
                norm.running_mean.sub_(bias)  # type: ignore[operator]


def _norms_behind(network: nn.Module, batch: torch.Tensor) -> dict[str, nn.Module]:
    """Name of a layer -> the batch norm that reads its output; it is called once."""
    made: list[tuple[str, torch.Tensor]] = []
    found: dict[str, nn.Module] = {}

    def keep(name: str, output: torch.Tensor) -> None:
        made.append((name, output))

    def look(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        for name, output in made:
            if output is inputs[0]:
                found[name] = norm

    hooks = [
        norm.register_forward_pre_hook(look)
        for norm in network.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
    ]
    hooks += [
        layer.register_forward_hook(lambda _m, _i, output, name=name: keep(name, output))
        for name, layer in network.named_modules()
        if is_quantized(layer)
    ]
    with torch.no_grad():
        network(batch[:1])
    for hook in hooks:
        hook.remove()
    return found

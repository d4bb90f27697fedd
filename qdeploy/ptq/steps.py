"""Scales of a quantized network from its own values in float.

With every quantizer off, a quantized network computes what the float network computes. What its
activation quantizers then let through gives their scales:

    least squared error    `quant/step_size.py`
    percentile             Δ = p / hi, where p is the percentile of the values above 0, or of all
                           magnitudes for signed codes
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from brevitas.graph.calibrate import quantization_status_manager
from torch import nn

from qdeploy.ptq.options import PostTraining
from qdeploy.quant.quantizers import (
    code_range,
    is_quantized,
    set_step,
    tensor_quantizer,
)
from qdeploy.quant.step_size import least_error_power_of_two, least_error_step

SAMPLES = 1 << 17  # values of an activation, at most
Batches = Sequence[torch.Tensor]


def in_float(network: nn.Module) -> quantization_status_manager:
    """A context in which a quantized network, in evaluation mode, computes in float."""
    return quantization_status_manager(
        network,
        disable_act_quant=True,
        disable_weight_quant=True,
        disable_bias_quant=True,
        is_training=False,
    )


def set_weight_steps(network: nn.Module, options: PostTraining) -> None:
    """The scale of each quantized weight by least squared error, in place."""
    step = least_error_power_of_two if options.power_of_two else least_error_step
    for layer in network.modules():
        if is_quantized(layer):
            proxy: Any = layer.weight_quant
            count = tensor_quantizer(proxy).scaling_impl.value.numel()
            weight: torch.Tensor = layer.weight.detach()  # type: ignore[operator]
            set_step(proxy, step(weight.reshape(count, -1), *code_range(proxy)))


def set_activation_steps(network: nn.Module, batches: Batches, options: PostTraining) -> None:
    """The scale of each activation quantizer that has a parameter, in place.

    Args:
        network: in evaluation mode, with its float weights.
        batches: of its input.
        options: the rule for steps.
    """
    proxies: dict[str, Any] = {
        name: module.act_quant
        for name, module in network.named_modules()
        if hasattr(module, "act_quant") and any(True for _ in module.act_quant.parameters())
    }
    signed = {name for name, proxy in proxies.items() if code_range(proxy)[0] < 0}
    seen = _samples(network, proxies, signed, batches)
    for name, proxy in proxies.items():
        values = seen[name] if seen[name].numel() else torch.ones(1)
        set_step(proxy, _step(values, *code_range(proxy), options))


def _step(values: torch.Tensor, lo: int, hi: int, options: PostTraining) -> torch.Tensor:
    if options.steps == "mse":
        step = least_error_power_of_two if options.power_of_two else least_error_step
        return step(values[None], lo, hi)
    rank = min(len(values) - 1, int(len(values) * options.percentile / 100))
    largest = values.abs().to(torch.float64).sort().values[rank : rank + 1]
    found = largest.clamp_min(torch.finfo(torch.float32).tiny) / hi
    return torch.exp2(torch.log2(found).ceil()) if options.power_of_two else found


def _samples(
    network: nn.Module, names: dict[str, Any], signed: set[str], batches: Batches
) -> dict[str, torch.Tensor]:
    """Some values that the quantizers of these names let through, without zeros, which every step
    gives exactly; those above 0 where not `signed`."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    share = SAMPLES // len(batches)

    def keep(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            values = output.detach().flatten()
            values = values[values != 0 if name in signed else values > 0]
            seen[name].append(values[:: -(-values.numel() // share) or 1].clone())

        return hook

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        with torch.no_grad(), in_float(network):
            for batch in batches:
                network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(values) if values else torch.ones(1) for name, values in seen.items()}

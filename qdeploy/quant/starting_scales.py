"""Initial scales of a quantized network, from its float version.

Weights: least squared error, or the largest magnitude, of the copied weights. Activations: least
squared error over the float network's activations for some training images. The initial scales
matter: with bad ones a network of 2 bits may not learn at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from qdeploy.quant.entropy import EntropySteps
from qdeploy.quant.quantizers import (
    code_range,
    is_binary,
    is_quantized,
    learned_thresholds,
    set_step,
    tensor_quantizer,
    weight_level_quantizer,
)
from qdeploy.quant.step_size import (
    Rounding,
    binary_step,
    largest_value_step,
    least_error_power_of_two,
    least_error_step,
)
from qdeploy.recipe.quantization import Quantization

Step = Callable[[torch.Tensor, int, int], torch.Tensor]
SAMPLES = 1 << 18
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)
_WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Linear, *_TRANSPOSED)


def start_from_float(
    network: nn.Module,
    float_network: nn.Module,
    images: torch.Tensor,
    quantization: Quantization,
    samples: int = SAMPLES,
    weight_samples: int | None = None,
) -> None:
    """Copy the float network's state and set every learned scale of `network`.

    Args:
        network: quantized; changed in place.
        float_network: the same architecture in float, with the same names.
        images: input of the network, (N, C, H, W), from the training set.
        quantization: determines how steps are chosen.
        samples: maximum number of values per activation and call of its quantizer.
        weight_samples: as in `set_weight_scales`.
    """
    state = network.state_dict()
    state.update(float_network.state_dict())
    network.load_state_dict(state)
    set_weight_scales(network, quantization, weight_samples)
    set_activation_scales(network, float_network, images, quantization, samples)


def set_weight_scales(
    network: nn.Module, quantization: Quantization, samples: int | None = None
) -> None:
    """Set the scale of every quantized weight from the weight itself.

    Args:
        samples: maximum number of weights that a scale is found from, None for all: with the
            millions of a wide layer the least error takes minutes, and a part has the same one.
    """
    power_of_two = quantization.scale == "power_of_two"
    for layer in network.modules():
        if not isinstance(layer, _WEIGHTED) or not is_quantized(layer):
            continue
        proxy: Any = layer.weight_quant
        lo, hi = code_range(proxy)
        scales = tensor_quantizer(proxy).scaling_impl.value.numel()
        weight = layer.weight.detach()
        if isinstance(layer, _TRANSPOSED):
            weight = weight.transpose(0, 1)  # outputs first
        rows = weight.reshape(scales, -1)
        if samples is not None and rows.shape[1] > samples:
            # An odd stride meets all taps of a kernel, and all of its inputs.
            rows = rows[:, :: (rows.shape[1] // samples) | 1]
        if is_binary(proxy):
            steps = binary_step(rows)
            set_step(proxy, torch.exp2(torch.log2(steps).round()) if power_of_two else steps)
        else:
            levels = weight_level_quantizer(proxy)
            step = _weight_step(quantization, power_of_two, levels and levels.codes)
            set_step(proxy, step(rows, lo, hi))
    EntropySteps(network).follow()


def set_activation_scales(
    network: nn.Module,
    float_network: nn.Module,
    images: torch.Tensor,
    quantization: Quantization,
    samples: int = SAMPLES,
) -> None:
    """Set the scale of every activation quantizer from the float network's activations.

    A quantizer shared by several branches is set from the values of all of them.
    """
    power_of_two = quantization.scale == "power_of_two"
    step = least_error_power_of_two if power_of_two else least_error_step
    targets = {
        name: module.act_quant
        for name, module in network.named_modules()
        if hasattr(module, "act_quant") and any(True for _ in module.act_quant.parameters())
    }
    signed = {name for name, proxy in targets.items() if code_range(proxy)[0] < 0}
    seen = _samples(float_network, list(targets), signed, images, samples)
    for name, proxy in targets.items():
        values = seen[name]
        if values.numel() == 0:
            values = torch.ones(1)
        lo, hi = code_range(proxy)
        found = step(values[None], lo, hi)
        set_step(proxy, found)
        thresholds = learned_thresholds(proxy)
        if thresholds is not None:
            thresholds.segments.set_uniform(found)


def _weight_step(quantization: Quantization, power_of_two: bool, rounding: Rounding | None) -> Step:
    if quantization.weight_init == "statistics":
        return _rounded_up if power_of_two else largest_value_step
    least_error = least_error_power_of_two if power_of_two else least_error_step
    return partial(least_error, rounding=rounding)


def _rounded_up(values: torch.Tensor, lo: int, hi: int) -> torch.Tensor:
    return torch.exp2(torch.log2(largest_value_step(values, lo, hi)).ceil())


def _samples(
    network: nn.Module, names: list[str], signed: set[str], images: torch.Tensor, samples: int
) -> dict[str, torch.Tensor]:
    """A sample of the outputs of the named modules for `images`, in evaluation mode; positive
    values only where not `signed`, all calls of a module together."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in names}

    def keep(name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            values = output.detach().flatten()
            # Zeros are exact with every step and would only dilute the sample.
            values = values[values != 0 if name in signed else values > 0]
            seen[name].append(values[:: max(1, values.numel() // samples)].clone())

        return hook

    modules = dict(network.named_modules())
    hooks = [modules[name].register_forward_hook(keep(name)) for name in names]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            network(images)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return {name: torch.cat(values) if values else torch.ones(1) for name, values in seen.items()}

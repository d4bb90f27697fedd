"""A float module of torch, quantized without training."""

from __future__ import annotations

from torch import nn

from qdeploy.observer import SILENT, Observer
from qdeploy.ptq.calibrate import calibrate, deterministic
from qdeploy.ptq.equalize import equalized
from qdeploy.ptq.options import PostTraining
from qdeploy.ptq.steps import Batches
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.quantize import quantize_module

_FIRST_SAMPLES = 1 << 10  # of scales that are chosen anew afterwards


def quantized_module(
    module: nn.Module,
    batches: Batches,
    options: PostTraining,
    input_range: tuple[float, float] | None = None,
    observer: Observer = SILENT,
) -> nn.Module:
    """A quantized network with the module's weights, in evaluation mode.

    Args:
        module: float; it is left alone.
        batches: of calibration frames, float32 (N, ...) each, as the module takes them.
        options: bits and methods.
        input_range: as of `quantize_module`.
        observer: gets progress.

    Raises:
        UserError, UnsupportedLayerError: as of `quantize_module`; or the module cannot be
            equalized.
    """
    with observer.warnings(), deterministic(options.seed):
        source = equalized(module, batches) if "equalize" in options.methods else module
        found = quantize_module(
            source,
            quantization_of(options),
            batches[0],
            input_range=input_range,
            samples=_FIRST_SAMPLES,
        )
        calibrate(found.network, batches, options, observer)
    return found.network.eval()


def quantization_of(options: PostTraining) -> Quantization:
    """The section `quantization` that gives these bits."""
    return Quantization(
        weight_bits=options.weight_bits,
        activation_bits=options.activation_bits,
        first_layer_bits=options.end_bits,
        last_layer_bits=options.end_bits,
        residual_bits=options.residual_bits,
        scale="power_of_two" if options.power_of_two else "float",
        weight_scaling="per_channel" if options.per_channel else "per_layer",
    )

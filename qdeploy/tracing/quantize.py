"""A float network of one's own as a quantized network, with the same names and weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from qdeploy.errors import RecipeError, UnsupportedLayerError, UserError
from qdeploy.quant.layers import LayerFactory
from qdeploy.quant.quantizers import fix_weight_steps, has_quantizers
from qdeploy.quant.short_scales import shorten_scales
from qdeploy.quant.starting_scales import SAMPLES, start_from_float
from qdeploy.recipe.quantization import Quantization
from qdeploy.tracing.assemble import Assembly, Range
from qdeploy.tracing.grids import plan_grids
from qdeploy.tracing.network import TracedNetwork
from qdeploy.tracing.operations import FloatGraph, Kind
from qdeploy.tracing.places import Place
from qdeploy.tracing.read import read_float
from qdeploy.tracing.reorder import relu_before_pool
from qdeploy.tracing.tracer import own_copy

# How far the traced float network may be from the person's, of its largest value.
TOLERANCE = 1e-4
# Weights that a scale is found from: all of them in layers for small devices.
WEIGHT_SAMPLES = 1 << 16
_RECIPE_RANGE = (0.0, 1.0)


@dataclass(frozen=True)
class Quantized:
    """A quantized network and what it was made from.

    Args:
        network: quantized, with the float network's weights; scales as `start_from_float` sets
            them. It takes (N, *input_shape) and is in training mode.
        floating: the same network in float: its modules have the same names, and the identity
            stands where `network` has a quantizer without a ReLU.
        quantization: bit widths and scales.
        layers: convolutions and fully connected layers of both networks, in the order in which they
            run: name -> name in the person's network (the same).
        places: module of both networks -> line of the person's code that calls it.
    """

    network: TracedNetwork
    floating: TracedNetwork
    quantization: Quantization
    layers: dict[str, str]
    places: dict[str, Place | None] = field(repr=False)


def quantize_module(
    module: nn.Module,
    quantization: Quantization,
    example: torch.Tensor,
    *,
    input_range: Range | None = None,
    samples: int = SAMPLES,
) -> Quantized:
    """Trace a float network and quantize it.

    Args:
        module: float; it is left alone. What it computes in evaluation mode counts.
        quantization: bit widths and scales; patterns of `layers` are for names of the module.
        example: float32 frames as the module takes them, (N, ...). Scales of activations are those
            of least squared error over them: a few dozen real frames start better than one.
        input_range: smallest and largest value of the input, which has `input_bits` codes between
            them: unsigned from 0 on, signed and symmetric for a range that begins below 0. By
            default the input is codes / 2**input_bits, as recipes have it.
        samples: values for each scale, at most.

    Raises:
        UserError: the module does not take the example, or the example lies outside the range.
        RecipeError: widths are `float`, or a pattern matches no layer.
        UnsupportedLayerError: all that cannot be traced or quantized, with files and lines.
    """
    if has_quantizers(module):
        raise UserError(
            f"`{type(module).__name__}` is quantized already",
            do="export it with `qdeploy.export`, or quantize the float module that it was made of",
        )
    _check_widths(quantization)
    if quantization.input_bits == 1 and input_range is not None and input_range[0] < 0:
        raise RecipeError(
            "an input with values below 0 needs 2 bits or more",
            where="quantization.input_bits: 1",
            do="give more bits, or a range from 0 on",
        )
    _check_example(example, input_range)
    own = own_copy(module)
    graph = relu_before_pool(read_float(own, example))
    _check_layers(graph)
    signed = input_range is not None and input_range[0] < 0
    grids = plan_grids(graph, signed_input=signed)
    made = [
        Assembly(graph, grids, LayerFactory(quantization, quantized), input_range)
        for quantized in (False, True)
    ]
    floating, network = (one.network() for one in made)
    made[1].make.check_patterns()
    frames = example.detach().cpu()
    with torch.no_grad():
        _check_same(own, floating, frames[:2])
        start_from_float(network, floating, frames, quantization, samples, WEIGHT_SAMPLES)
        shorten_scales(network)
    if quantization.weight_step == "fixed":
        fix_weight_steps(network)
        # Loading a state makes the scales anew.
        network.register_load_state_dict_post_hook(lambda one, keys: fix_weight_steps(one))
    layers = [one.uses for one in graph.operations if one.kind is Kind.LAYER]
    places = {one.uses: one.place for one in graph.operations}
    return Quantized(
        network.train(), floating.eval(), quantization, {name: name for name in layers}, places
    )


def _check_widths(quantization: Quantization) -> None:
    q = quantization
    widths = [q.weight_bits, q.activation_bits]
    for one in q.layers.values():
        widths += [one.weight_bits, one.activation_bits]  # type: ignore[list-item]
    if "float" in widths:
        raise RecipeError(
            "a network with float weights or activations cannot become integers",
            where="quantization: weight_bits, activation_bits",
            do="give numbers from 1 to 8",
        )
    if q.weight_normalization == "entropy":
        raise RecipeError(
            "`weight_normalization: entropy` is not for training of your own",
            where="quantization.weight_normalization",
            why="its scales follow the weights after each step, which the trainer sees to",
            do="train with `qdeploy.train`, or leave it out",
        )


def _check_example(example: object, input_range: Range | None) -> None:
    if not isinstance(example, torch.Tensor) or not example.dtype.is_floating_point:
        kind = example.dtype if isinstance(example, torch.Tensor) else type(example).__name__
        raise UserError(
            f"the example is {kind}, not a tensor of floating point numbers",
            do="give frames as the module takes them, (N, ...), such as bytes / 255",
        )
    if example.dim() < 2 or not example.shape[0]:
        raise UserError(
            f"the example of shape {tuple(example.shape)} is no batch of frames",
            do="give (N, channels, height, width), (N, channels, length) or (N, features)",
        )
    if not bool(example.isfinite().all()):
        raise UserError("the example has values that are not finite", do="remove these frames")
    low, high = input_range or _RECIPE_RANGE
    if not low < high or low > 0 or high <= 0:
        raise UserError(
            f"from {low:g} to {high:g} is no range of the input",
            why="0 has to be a code: padding means 0",
            do="give a range that holds 0, such as (0, 1) or (-2.2, 2.7)",
        )
    smallest, largest = float(example.min()), float(example.max())
    if smallest < low or largest > high:
        raise UserError(
            f"the example goes from {smallest:g} to {largest:g}, "
            f"the input from {low:g} to {high:g}",
            why="values outside the range of the input would be clipped",
            do=f"give the range: input_range=({min(0.0, smallest):.4g}, {largest:.4g})",
        )


def _check_layers(graph: FloatGraph) -> None:
    if not any(one.kind is Kind.LAYER for one in graph.operations):
        raise UnsupportedLayerError(
            f"`{graph.kind}` has no convolution and no fully connected layer",
            do="give the network itself, such as a torchvision model",
        )


def _check_same(module: nn.Module, floating: nn.Module, frames: torch.Tensor) -> None:
    """Whether the traced float network computes what the person's computes."""
    wanted = module(frames)
    found = floating.eval()(frames)
    error = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    if not error <= TOLERANCE * max(1e-6, float(wanted.abs().max())):
        raise UnsupportedLayerError(
            f"the traced `{type(module).__name__}` does not compute what the module computes: its "
            f"results differ by {error:g}",
            why="it may change an activation in place that it reads again",
            do="write `inplace=False` there, and use what a function returns",
        )

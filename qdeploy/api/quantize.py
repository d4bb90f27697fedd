"""`qdeploy.quantize`: a float module becomes a quantized one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qdeploy.errors import UserError
from qdeploy.tracing.widths import Widths, quantization_of

if TYPE_CHECKING:
    import torch
    from torch import nn


def quantize(
    module: nn.Module | Path | str,
    bits: Widths,
    example: torch.Tensor | None = None,
    *,
    input_range: tuple[float, float] | None = None,
) -> nn.Module:
    """A float network as a quantized one, with its weights, to be trained in any loop of torch.

    The module is traced by torch.fx; convolutions for images and series, fully connected layers,
    batch norm, ReLU, ReLU6 and LeakyReLU, pools, sums, `torch.cat` along the channels, flatten and
    dropout may be written as modules, functions or methods. Names of layers stay, and `state_dict`
    holds the float network's entries beside the scales.

    Args:
        module: float, trained or not; it is left alone. Or the folder of a run, for the float
            network that its training began with.
        bits: of inner weights and activations, 1 to 8, where the first and the last layer have 8;
            two such numbers; a dictionary with keys of a recipe's section `quantization`; or a
            recipe, or the path of one, whose section counts.
        example: float32 frames as the module takes them, (N, C, H, W), (N, C, L) or (N, F). Scales
            of activations start from them: a few dozen real frames are better than one. Of a run,
            training images when None.
        input_range: smallest and largest value of the input, whose codes are spread between them:
            (0, 1) for bytes / 255, (-2.2, 2.7) for normalized images. By default, the input is
            bytes / 256, as in recipes.

    Returns:
        The quantized module, in training mode. `qdeploy.export` makes hardware of it.

    Raises:
        CheckpointError: the folder holds no run with a finished float training.
        UserError: the module does not take the example, or the example lies outside the range.
        RecipeError: bits out of range, or a pattern of names that matches no layer.
        UnsupportedLayerError: the module cannot be traced, with the line that prevents it; or
            operations that cannot be quantized, all of them with their lines.

    Example:
        >>> import torch, qdeploy
        >>> from torch import nn
        >>> net = nn.Sequential(
        ...     nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        ...     nn.Flatten(), nn.Linear(8 * 3 * 3, 10),
        ... )
        >>> quantized = qdeploy.quantize(net, bits=4, example=torch.rand(16, 1, 8, 8))
        >>> quantized(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    from qdeploy.tracing.quantize import quantize_module

    if isinstance(module, str | Path):
        from qdeploy.training.float_network import float_of_run

        module, images = float_of_run(Path(module), with_images=example is None)
        example = example if images is None else images
    if example is None:
        raise UserError(
            "there is no example",
            why="the shapes of activations, and their scales, come from frames",
            do="give a few dozen frames as the module takes them: example=",
        )
    return quantize_module(module, quantization_of(bits), example, input_range=input_range).network

"""What studies measure of a finished run besides its accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qdeploy.data.dataset import network_input
from qdeploy.data.synthetic2d import codes, grid
from qdeploy.training.analysis.size import size
from qdeploy.training.analysis.trace import weight_layers
from qdeploy.training.float_network import load_float
from qdeploy.training.run import load_run

# The quadrant in the figures of Boo et al. 2020; as many points in a row as in a column.
PLANE = ((0.0, 1.0), (-1.0, 0.0))
DATA = "synthetic2d"

Plane = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """Of a float network, or of the quantized one that a run ends with.

    Args:
        weights: of convolutions and fully connected layers.
        weight_bits: of all their codes together.
        plane: the class of every point of `PLANE` as an image, True for 1; None for other data.
    """

    weights: int
    weight_bits: int
    plane: Plane | None


def plane_points() -> npt.NDArray[np.float64]:
    """The points of `PLANE`, (N, 2), in the order of the image's pixels."""
    return grid(*PLANE)


def measured(folder: Path, *, floating: bool) -> Measured:
    """Measure the network of a finished run, or the float network that it was quantized from.

    Raises:
        CheckpointError: the folder holds no finished run.
    """
    if floating:
        recipe, network = load_float(folder)
    else:
        run = load_run(folder)
        recipe, network = run.recipe, run.network
    shape = network.input_shape
    assert isinstance(shape, tuple)
    total = size(network, weight_layers(network, torch.zeros(1, *shape)))
    plane = _plane(network, recipe.quantization.input_bits) if recipe.data.name == DATA else None
    return Measured(total.weights, total.weight_bits, plane)


def _plane(network: nn.Module, input_bits: int) -> Plane:
    images = network_input(codes(plane_points()), input_bits)
    with torch.no_grad():
        said = network(images)
    classes = torch.as_tensor(said).flatten(1).argmax(dim=1).numpy()
    side = round(len(classes) ** 0.5)
    plane: Plane = classes.reshape(side, side) == 1
    return plane

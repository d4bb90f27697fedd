"""Flatness of the loss around the trained weights, which cyclical rates are meant to improve.

Along a direction d of normal random numbers whose filters have the norms of the network's filters
(Li et al. 2018, "filter normalization"), the loss is taken at W + α·d. Norms, biases and scales
stay. Weights are perturbed before their quantizers: it is the loss that training sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from qdeploy.observer import SILENT, Observer
from qdeploy.training.analysis.trace import evaluating, parts

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Flatness:
    """Losses along random directions.

    Args:
        alphas: distances, relative to the weights; symmetric around 0.
        losses: one list per direction.
    """

    alphas: list[float]
    losses: list[list[float]]

    @property
    def rise(self) -> float:
        """Mean rise of the loss over directions and distances: the smaller, the flatter."""
        here = self.losses[0][len(self.alphas) // 2]
        away = [
            loss - here
            for line in self.losses
            for alpha, loss in zip(self.alphas, line, strict=True)
            if alpha != 0.0
        ]
        return sum(away) / len(away)


def flatness(
    network: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    loss: Loss = nn.functional.cross_entropy,
    directions: int = 5,
    radius: float = 0.5,
    points: int = 11,
    seed: int = 0,
    observer: Observer = SILENT,
) -> Flatness:
    """The loss in evaluation mode along random directions; the network is restored afterwards.

    Args:
        network: its float weights are what directions start from.
        images, labels: what the loss is taken over; network input and int64 labels.
        loss: mean loss of logits and labels.
        directions: number of directions.
        radius: largest distance, as a share of each filter's norm.
        points: distances from -radius to radius; odd, so that 0 is among them.
        seed: of the directions.
        observer: follows the directions.
    """
    half = points // 2
    alphas = [radius * (index - half) / max(1, half) for index in range(2 * half + 1)]
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    kept = [layer.weight.detach().clone() for layer in layers]
    generator = torch.Generator().manual_seed(seed)
    losses = []
    with evaluating(network), torch.no_grad():
        try:
            for _ in observer.track(range(directions), "flatness", unit="directions"):
                drawn = [_direction(weight, generator) for weight in kept]
                line = []
                for alpha in alphas:
                    for layer, weight, step in zip(layers, kept, drawn, strict=True):
                        layer.weight.copy_(weight + alpha * step)
                    line.append(_mean(loss, network, images, labels))
                losses.append(line)
        finally:
            for layer, weight in zip(layers, kept, strict=True):
                layer.weight.copy_(weight)
    return Flatness(alphas, losses)


def _direction(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Normal numbers; each filter, a row, with the norm of the weight's."""
    drawn = torch.randn(weight.shape, generator=generator)
    rows = weight.flatten(1).norm(dim=1) / drawn.flatten(1).norm(dim=1).clamp_min(1e-12)
    return drawn * rows.reshape(-1, *[1] * (weight.dim() - 1))


def _mean(loss: Loss, network: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    total = 0.0
    start = 0
    for part in parts(images):
        wanted = labels[start : start + len(part)]
        total += loss(network(part), wanted).item() * len(part)
        start += len(part)
    return total / len(labels)

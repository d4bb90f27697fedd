"""Random float modules, written as people write them, for tests of tracing."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 4


class Drawn(nn.Module):
    """Steps drawn by a seed: layers, norms, activations, pools, sums and concatenations of
    earlier results of one size."""

    def __init__(self, seed: int, size: int = 8) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.layers = nn.ModuleList()
        self.steps: list[tuple[str, tuple[int, ...], int]] = []
        shapes = [(2, size)]
        for _ in range(draw.randint(4, 9)):
            self._step(draw, shapes)
        channels, last = shapes[-1]
        self.pooled = draw.random() < 0.5
        self.fc = nn.Linear(channels if self.pooled else channels * last * last, CLASSES)

    def _step(self, draw: random.Random, shapes: list[tuple[int, int]]) -> None:
        source = len(shapes) - 1 if draw.random() < 0.8 else draw.randrange(len(shapes))
        channels, size = shapes[source]
        others = [i for i, (_, one) in enumerate(shapes) if one == size and i and i != source]
        alike = [i for i in others if shapes[i][0] == channels]
        kinds = ["conv", "conv", "depthwise", "norm", "relu", "relu", "leaky", "half", "drop"]
        kinds += ["max", "mean"] * (size > 3) + ["add"] * (2 * bool(alike))
        kinds += ["cat"] * bool(others and channels < 12)
        kind = draw.choice(kinds)
        made, inputs, module = channels, (source,), nn.Identity()
        if kind == "conv":
            made = draw.choice([channels, 3, 5])
            kernel = draw.choice([1, 3])
            module = nn.Conv2d(
                channels, made, kernel, padding=kernel // 2, bias=draw.random() < 0.5
            )
        elif kind == "depthwise":
            module = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        elif kind == "norm":
            module = nn.BatchNorm2d(channels)
        elif kind == "leaky":
            module = nn.LeakyReLU(0.25)
        elif kind == "drop":
            module = nn.Dropout(0.1)
        elif kind == "max":
            module, size = nn.MaxPool2d(3, 2, 1), (size + 1) // 2
        elif kind == "mean":
            module, size = nn.AvgPool2d(2), size // 2
        elif kind == "add":
            inputs = (source, draw.choice(alike))
        elif kind == "cat":
            inputs = (source, draw.choice(others))
            made = channels + shapes[inputs[1]][0]
        self.layers.append(module)
        self.steps.append((kind, inputs, len(self.layers) - 1))
        shapes.append((made, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        results = [x]
        for kind, inputs, index in self.steps:
            given = [results[one] for one in inputs]
            if kind == "add":
                results.append(given[0] + given[1])
            elif kind == "cat":
                results.append(torch.cat(given, dim=1))
            elif kind == "relu":
                results.append(F.relu(given[0]))
            elif kind == "half":
                results.append(given[0] * 0.5)
            else:
                results.append(self.layers[index](given[0]))
        x = results[-1]
        return self.fc(x.mean((2, 3)) if self.pooled else torch.flatten(x, 1))


def drawn(seed: int) -> tuple[nn.Module, torch.Tensor]:
    """A module with statistics of its own activations, and 8 frames in [0, 1)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = Drawn(seed)
        frames = torch.randint(0, 256, (8, 2, 8, 8)) / 256
        for one in module.modules():
            if isinstance(one, nn.BatchNorm2d):
                nn.init.uniform_(one.weight, -1.0, 1.5)
                nn.init.normal_(one.bias, 0.0, 0.3)
        with torch.no_grad():
            for _ in range(20):
                module.train()(frames)
    return module.eval(), frames

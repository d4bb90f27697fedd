"""A network that reads measured values by a scaling of few signed codes, and values for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qdeploy.data.scaling import FloatArray, Scaling
from qdeploy.recipe.loading import load_recipe
from qdeploy.training.run import load_run
from qdeploy.training.train import train

RECIPE = """\
name: strokes
network: {type: convnet, stages: [{channels: 4, kernel: 3, pool: 2}], hidden: []}
data:
  {name: arrays, path: strokes.npz, scaling: standard, limit: 3, signed: true, bits: 5,
   augment: shift, crop_padding: 2}
phases:
  - {name: float, kind: pretrain, epochs: 2, optimizer: {lr: 0.05}}
  - {name: retrain, kind: retrain, epochs: 1, optimizer: {lr: 0.01}}
"""


def trained_on_series(folder: Path) -> Path:
    """A run on series of three sensors of very different range, 24 samples each."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 3, 24)) * [[1.0], [50.0], [1e-4]] + [[0.0], [1000.0], [-3.0]]
    np.savez(folder / "strokes.npz", x=x.astype(np.float32), y=x[:, 0].mean(1) > 0)
    (folder / "strokes.yaml").write_text(RECIPE, encoding="utf-8")
    return train(load_recipe(folder / "strokes.yaml"), folder / "run", folder)


def scaling_of(run: Path) -> Scaling:
    """The run's scaling."""
    scaling = load_run(run).scaling
    assert scaling is not None
    return scaling


def values_of(run: Path) -> FloatArray:
    """Values in the range, far beyond it, and next to every edge between two codes, (N, 3, 24)."""
    scaling, random = scaling_of(run), np.random.default_rng(1)
    low, high = (np.array(ends)[:, None] for ends in (scaling.low, scaling.high))
    inside = random.uniform(low - (high - low) / 4, high + (high - low) / 4, (40, 3, 24))
    codes = np.arange(scaling.lowest, scaling.lowest + 31)[:24] + 0.5
    edges = (codes / 32 / scaling.factor[:, None] + scaling.offset[:, None]).astype(np.float32)
    near = [np.nextafter(edges, np.float32(end)) for end in (-np.inf, np.inf)]
    far = np.full((1, 3, 24), 3e38)
    return np.concatenate([inside, edges[None], *(one[None] for one in near), far, -far]).astype(
        np.float32
    )

"""A network small and quick enough to be trained, compiled and simulated inside a test."""

from __future__ import annotations

from pathlib import Path

from qdeploy.recipe.loading import load_recipe
from qdeploy.resources import resource
from qdeploy.training.train import train

TINY = ("network.width=16", "network.depth=2", "training.epochs=2")


def train_tiny(folder: Path, *overrides: str) -> Path:
    """Train a two-layer digits network for two epochs a phase; a few seconds."""
    recipe = load_recipe(resource("models/quickstart/digits_fcdnn_w2a2.yaml"), [*TINY, *overrides])
    return train(recipe, folder)

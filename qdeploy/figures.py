"""The figures that say how good a network is, and how people read them.

accuracy    share of images, or pixels, that are right
miou        mean intersection over union, of segmentation
r2          coefficient of determination, of regression
mae         mean absolute error in the targets' units, of regression
"""

from __future__ import annotations

# Name -> what it is called.
FIGURES = {"accuracy": "accuracy", "miou": "mIoU", "r2": "R²", "mae": "MAE"}


def shown(name: str, value: float) -> str:
    """A figure for people: a share in percent, R² and errors as numbers."""
    if name == "r2":
        return f"{value:.4f}"
    if name == "mae":
        return f"{value:.4g}"
    return f"{value:.2%}"

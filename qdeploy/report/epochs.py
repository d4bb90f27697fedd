"""The figures of each epoch of a training as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qdeploy.build_records import EpochRecord


@dataclass(frozen=True)
class Epochs:
    """The figures of each epoch as a table."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def epoch_table(log: Sequence[EpochRecord]) -> Epochs:
    """The rows of `metrics.jsonl`: the columns that some row has."""
    columns = {
        "phase": "phase",
        "epoch": "epoch",
        "loss": "loss",
        "train_accuracy": "training",
        "validation_accuracy": "validation",
        "accuracy": "test",
        "train_miou": "mIoU, training",
        "validation_miou": "mIoU, validation",
        "miou": "mIoU, test",
        "train_r2": "R², training",
        "validation_r2": "R², validation",
        "r2": "R², test",
        "train_mae": "error, training",
        "validation_mae": "error, validation",
        "mae": "error, test",
        "lr": "learning rate",
        "lipschitz": "L_Lip",
    }
    kept = [key for key in columns if any(dict(row).get(key) is not None for row in log)]
    rows = [[_cell(key, dict(row).get(key)) for key in kept] for row in log]
    return Epochs([columns[key] for key in kept], rows)


def _cell(key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"{value:.2%}" if key.endswith(("accuracy", "miou")) else f"{value:.5g}"

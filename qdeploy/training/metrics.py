"""metrics.jsonl of a run folder: one row per epoch, and one per phase without epochs."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from qdeploy.artifacts import write_text
from qdeploy.bounded import MAX_JSON_BYTES, parse_json, read_bounded
from qdeploy.figures import FIGURES, shown
from qdeploy.training.checkpoints import Position, writing
from qdeploy.training.objective import Score

METRICS = "metrics.jsonl"
# What a figure's name begins with in a row, by split.
Scored = Literal["train_", "validation_", ""]
TRAIN: Scored = "train_"
VALIDATION: Scored = "validation_"
TEST: Scored = ""
LATE = 0.2  # share of an epoch's time; from about here on, loading limits training


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """A row of metrics.jsonl; the fields are its keys, and those that are None are left out.

    Args:
        phase: name of the phase.
        phase_index: its number, from 0.
        kind: its kind.
        epoch: how many epochs of the phase are done; 0 in a phase without epochs.
        epochs: how many it has.
        lr: learning rate of the last step.
        loss: mean over the training images, of all processes.
        lipschitz: L_Lip after the epoch, or what is part of the loss in its last step.
        lipschitz_share: norm of the gradient of its part of the loss, relative to that of the last
            step's gradient; None where it is not part of the loss.
        train_accuracy: share of training images, for segmentation of pixels, in [0, 1].
        train_miou: mean intersection over union of the training images; segmentation only.
        train_r2, train_mae: of numbers to predict, as in `Score`; regression only.
        validation_accuracy and the like: the same of the validation split, where there is one.
        accuracy and the like: the same of the test set; where there is a validation split, they are
            in the phase's last row, and of the network that the phase keeps.
        kept_epoch: the epoch whose network the phase keeps, in the last row where there is a
            validation split.
        images_per_second: of all processes together, without testing.
        waiting: share of the training time spent waiting for data, in [0, 1].
        seconds: training and testing together.
    """

    phase: str
    phase_index: int
    kind: str
    epoch: int
    epochs: int
    lr: float
    loss: float
    lipschitz: float
    lipschitz_share: float | None = None
    train_accuracy: float | None = None
    train_miou: float | None = None
    train_r2: float | None = None
    train_mae: float | None = None
    validation_accuracy: float | None = None
    validation_miou: float | None = None
    validation_r2: float | None = None
    validation_mae: float | None = None
    accuracy: float | None = None
    miou: float | None = None
    r2: float | None = None
    mae: float | None = None
    kept_epoch: int | None = None
    images_per_second: float
    waiting: float | None = None
    seconds: float

    @property
    def position(self) -> Position:
        """How far the run was at the end of the epoch."""
        return Position(self.phase_index, self.epoch)

    def with_score(self, score: Score, split: Scored = TEST) -> EpochMetrics:
        """The row with the score of a split."""
        found: dict[str, Any] = {split + name: value for name, value in asdict(score).items()}
        return replace(self, **found)

    def figures(self, split: Scored = TEST) -> dict[str, float]:
        """The score of a split, by name; empty where it was not measured."""
        found = {name: getattr(self, split + name) for name in FIGURES}
        return {name: value for name, value in found.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return {key: value for key, value in vars(self).items() if value is not None}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> EpochMetrics:
        """The row as it was written; keys of other versions are ignored.

        Raises:
            ValueError: when a key is missing, or a value is not of its type.
        """
        known = {field.name for field in fields(cls)}
        found = {key: value for key, value in row.items() if key in known}
        return TypeAdapter(cls).validate_json(json.dumps(found), strict=True)

    def sentence(self) -> str:
        """The row as a line for people."""
        if self.epochs == 0:
            return (
                f"{self.phase}: {self.kind}, no training; loss {self.loss:.4f}, "
                f"{self._tested()}, L_Lip {self.lipschitz:.4g}"
            )
        share, late = "", ""
        trained = dict(list(self.figures(TRAIN).items())[:1])
        if self.lipschitz_share is not None:
            share = f" ({self.lipschitz_share:.1%} of the gradient)"
        if self.waiting is not None and self.waiting > LATE:
            late = f", {self.waiting:.0%} of the time waiting for data"
        return (
            f"{self.phase} {self.epoch}/{self.epochs}: loss {self.loss:.4f}, "
            f"{_figures('train', trained)}, {self._tested()}, lr {self.lr:.3g}, "
            f"L_Lip {self.lipschitz:.4g}{share}, {self.images_per_second:,.0f} images/s{late}"
        )

    def _tested(self) -> str:
        """What was measured on images that are not trained on."""
        found = []
        held, tested = self.figures(VALIDATION), self.figures()
        if held:
            found.append(_figures("validation", held))
        if tested:
            kept = f" of epoch {self.kept_epoch}, which is kept" if self.kept_epoch else ""
            found.append(_figures("test", tested) + kept)
        return ", ".join(found)


def _figures(split: str, found: Mapping[str, float]) -> str:
    first, *others = found.items()
    named = f"{FIGURES[first[0]]} " if first[0] in ("r2", "mae") else ""
    more = ", ".join(f"{FIGURES[name]} {shown(name, value)}" for name, value in others)
    return f"{split} {named}{shown(*first)}" + (f" ({more})" if more else "")


def read_metrics(folder: Path) -> list[EpochMetrics]:
    """The rows of metrics.jsonl in a run folder; an unreadable one ends the list."""
    rows: list[EpochMetrics] = []
    try:
        text = read_bounded(folder / METRICS, MAX_JSON_BYTES)
    except (OSError, ValueError):
        return rows
    for line in text.splitlines():
        try:
            rows.append(EpochMetrics.from_json(parse_json(line)))
        except (ValueError, AttributeError):
            break
    return rows


def write_metrics(folder: Path, rows: Sequence[EpochMetrics]) -> None:
    """Write metrics.jsonl atomically.

    Raises:
        CheckpointError: when it cannot be written.
    """
    with writing(folder / METRICS):
        write_text(folder / METRICS, "".join(map(_line, rows)), durable=True)


@functools.lru_cache(4096)  # every row is written again with each one that follows
def _line(row: EpochMetrics) -> str:
    return json.dumps(row.to_json()) + "\n"


def phase_summaries(rows: Sequence[EpochMetrics]) -> list[dict[str, Any]]:
    """What summary.json says of each phase in `rows`: the epochs it trained, the metrics of the one
    that it kept, and the seconds of all."""
    phases: dict[int, list[EpochMetrics]] = {}
    for row in rows:
        phases.setdefault(row.phase_index, []).append(row)
    return [_phase_summary(rows) for rows in phases.values()]


def _phase_summary(rows: Sequence[EpochMetrics]) -> dict[str, Any]:
    last = rows[-1]
    kept = next((row for row in rows if row.epoch == last.kept_epoch), last)
    metrics: dict[str, float | None] = {}
    for name in FIGURES:
        metrics[name] = getattr(last, name)
        for split in (TRAIN, VALIDATION):
            metrics[split + name] = getattr(kept, split + name)
    metrics["kept_epoch"] = last.kept_epoch
    return {
        "name": last.phase,
        "kind": last.kind,
        "epochs": last.epoch,
        **{key: value for key, value in metrics.items() if value is not None},
        "loss": kept.loss,
        "lipschitz": kept.lipschitz,
        "seconds": sum(row.seconds for row in rows),
    }

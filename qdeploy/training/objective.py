"""The loss and the metrics of a training, by the data set's task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from qdeploy.data.dataset import Dataset
from qdeploy.training.segmentation import Confusion, pixel_loss


@dataclass(frozen=True)
class Score:
    """How good a network is on some images.

    Args:
        accuracy: share of images, for segmentation of pixels, that are right, in [0, 1].
        miou: mean intersection over union, in [0, 1]; None where images have one label each.
    """

    accuracy: float
    miou: float | None = None

    def to_json(self) -> dict[str, float]:
        """The metrics there are, by name."""
        known = {"accuracy": self.accuracy, "miou": self.miou}
        return {name: value for name, value in known.items() if value is not None}


class Tally(ABC):
    """Counts over batches of logits, and what they come to."""

    @abstractmethod
    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch: the network's output, and int64 labels (N,) or (N, H, W)."""

    @property
    @abstractmethod
    def counts(self) -> torch.Tensor:
        """Everything counted so far, int64; those of several processes add up in place."""

    @abstractmethod
    def score(self) -> Score:
        """What the counts come to; accuracy 0 where nothing was counted."""


class ImageTally(Tally):
    """Share of images whose largest logit is at the label."""

    def __init__(self) -> None:
        self._counts = torch.zeros(2, dtype=torch.int64)

    @property
    def counts(self) -> torch.Tensor:
        """Right ones, and all."""
        return self._counts

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self._counts[0] += int((logits.detach().argmax(1) == labels).sum())
        self._counts[1] += len(labels)

    def score(self) -> Score:
        right, seen = self._counts.tolist()
        return Score(right / max(1, seen))


class PixelTally(Tally):
    """Share of pixels, and mean intersection over union; void pixels do not count."""

    def __init__(self, classes: int, void: int | None) -> None:
        self.confusion = Confusion(classes, void)

    @property
    def counts(self) -> torch.Tensor:
        """The confusion matrix."""
        return self.confusion.counts

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self.confusion.add_logits(logits, labels)

    def score(self) -> Score:
        return Score(self.confusion.pixel_accuracy(), self.confusion.miou())


def task_loss(dataset: Dataset, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy over images, or over the pixels that are not void."""
    if dataset.task == "segmentation":
        return pixel_loss(logits, labels, dataset.void)
    return F.cross_entropy(logits, labels)


def tally(dataset: Dataset) -> Tally:
    """A fresh tally for the data set's task."""
    if dataset.task == "segmentation":
        return PixelTally(len(dataset.classes), dataset.void)
    return ImageTally()

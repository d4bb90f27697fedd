"""What a training lowers and what it counts, by the data set's task."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F

from qdeploy.data.dataset import Dataset
from qdeploy.training.segmentation import Confusion, pixel_loss


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
    def metrics(self) -> dict[str, float]:
        """`accuracy`, and `miou` for segmentation; each in [0, 1]."""


class ImageTally(Tally):
    """Share of images whose largest logit is at the label."""

    def __init__(self) -> None:
        self._counts = torch.zeros(2, dtype=torch.int64)

    @property
    def counts(self) -> torch.Tensor:
        """Right, and all."""
        return self._counts

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """See the base class."""
        self._counts[0] += int((logits.detach().argmax(1) == labels).sum())
        self._counts[1] += len(labels)

    def metrics(self) -> dict[str, float]:
        """See the base class."""
        right, seen = self._counts.tolist()
        return {"accuracy": right / max(1, seen)}


class PixelTally(Tally):
    """Share of pixels, and mean intersection over union; void pixels do not count."""

    def __init__(self, classes: int, void: int | None) -> None:
        self.confusion = Confusion(classes, void)

    @property
    def counts(self) -> torch.Tensor:
        """The confusion matrix."""
        return self.confusion.counts

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """See the base class."""
        self.confusion.add_logits(logits, labels)

    def metrics(self) -> dict[str, float]:
        """See the base class."""
        return {"accuracy": self.confusion.pixel_accuracy(), "miou": self.confusion.miou()}


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

"""The loss and the metrics of a training, by the data set's task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch

from qdeploy.data.dataset import Dataset
from qdeploy.data.targets import TargetScaling
from qdeploy.recipe.loss import Loss
from qdeploy.training.class_weights import RULES
from qdeploy.training.losses import absolute_error, cross_entropy, of_others, squared_error
from qdeploy.training.segmentation import Confusion, pixel_loss


@dataclass(frozen=True)
class Score:
    """How good a network is on some images; None is what the task does not have.

    Args:
        accuracy: share of images, for segmentation of pixels, that are right, in [0, 1].
        miou: mean intersection over union, in [0, 1]; of segmentation.
        r2: coefficient of determination, at most 1, the mean over the targets; of regression.
        mae: mean absolute error in the targets' units, the mean over the targets; of regression.
    """

    accuracy: float | None = None
    miou: float | None = None
    r2: float | None = None
    mae: float | None = None

    @property
    def figure(self) -> float:
        """The one to choose by; more is better."""
        found = (self.miou, self.r2, self.accuracy)
        return next(value for value in found if value is not None)

    def to_json(self) -> dict[str, float]:
        """The metrics there are, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class Tally(ABC):
    """Counts over batches of logits, and what they come to."""

    @abstractmethod
    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        """Count a batch: the network's output, and labels as in `task_loss`; of an image with
        shares of classes, the largest counts."""

    @property
    @abstractmethod
    def counts(self) -> torch.Tensor:
        """Everything counted so far, int64 for classes; those of several processes add up in
        place."""

    @abstractmethod
    def score(self) -> Score:
        """What the counts come to; accuracy 0 where nothing was counted."""


class ImageTally(Tally):
    """Share of images whose largest logit is at the label."""

    def __init__(self) -> None:
        self._counts = torch.zeros(2, dtype=torch.int64)
        self._right, self._all = self._counts.unbind()

    @property
    def counts(self) -> torch.Tensor:
        """Right ones, and all."""
        return self._counts

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        labels = labels.argmax(1) if labels.is_floating_point() else labels
        if self._counts.device != logits.device:
            # Where the logits are: nobody waits for a device in every step.
            self._counts = self._counts.to(logits.device)
            self._right, self._all = self._counts.unbind()
        self._right.add_((logits.detach().argmax(1) == labels).sum())
        self._all.add_(len(labels))

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


class NumberTally(Tally):
    """Errors of predicted numbers, by target."""

    def __init__(self, targets: TargetScaling) -> None:
        self._scale = torch.tensor(targets.scale, dtype=torch.float64)
        self._counts = torch.zeros(5, len(targets.scale), dtype=torch.float64)

    @property
    def counts(self) -> torch.Tensor:
        """Of each target: frames; sums of absolute and squared errors, of the labels and of their
        squares, normalized. float64."""
        return self._counts

    def add(self, logits: torch.Tensor, labels: torch.Tensor) -> None:
        self._counts = self._counts.to(logits.device)
        wanted = labels.double()
        error = logits.detach().double() - wanted
        sums = (torch.ones_like(error), error.abs(), error**2, wanted, wanted**2)
        self._counts += torch.stack([one.sum(0) for one in sums])

    def by_target(self) -> tuple[list[float], list[float]]:
        """R² and mean absolute error of each target; 0 and 0 where nothing was counted."""
        frames, absolute, squared, total, squares = self._counts.cpu()
        if not frames.any():
            return [0.0] * len(frames), [0.0] * len(frames)
        spread = (squares - total**2 / frames).clamp(min=1e-12)
        return (1 - squared / spread).tolist(), (absolute / frames * self._scale).tolist()

    def score(self) -> Score:
        r2, mae = self.by_target()
        return Score(r2=sum(r2) / len(r2), mae=sum(mae) / len(mae))


def task_loss(
    dataset: Dataset,
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Mean cross entropy over images, or over the pixels that are not void; for regression the
    mean squared error of normalized targets.

    With q = softmax(logits), e = `smoothing`, w = `weights` (1 where there are none), and p the
    label as a share of each of C classes, an image or pixel has

        -Σ_c w[c] · ((1 - e) · p[c] + e / C) · log q[c].

    The mean divides by the number of images or pixels, not by their weights: so the parts of a
    batch, and the shares of several processes, add up to the loss of the whole.

    Args:
        labels: int64 (N,) or (N, H, W), or shares of the classes, float (N, classes); for
            regression float32 (N, targets).
        weights: float (classes,), on the device of the logits.
        smoothing: in [0, 1).
    """
    if dataset.task == "regression":
        return squared_error(logits, labels)
    if dataset.task == "segmentation":
        return pixel_loss(logits, labels, dataset.void, weights=weights, smoothing=smoothing)
    return cross_entropy(logits, labels, weights=weights, smoothing=smoothing)


def training_loss(
    dataset: Dataset, settings: Loss, device: torch.device
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """`task_loss` of logits and labels as a phase's `settings` want it, for logits on `device`.

    Raises:
        DataError: when a file whose label is counted cannot be read.
        UserError: a function of others cannot be loaded.
    """
    if settings.of_others:
        return of_others(settings, dataset)
    if settings.function == "mae":
        return absolute_error
    given = settings.class_weights
    weights = RULES[given](dataset) if isinstance(given, str) else given
    on_device = None if weights is None else torch.tensor(weights, device=device)
    return partial(task_loss, dataset, weights=on_device, smoothing=settings.label_smoothing)


def tally(dataset: Dataset) -> Tally:
    """A fresh tally for the data set's task."""
    if dataset.targets is not None:
        return NumberTally(dataset.targets)
    if dataset.task == "segmentation":
        return PixelTally(len(dataset.classes), dataset.void)
    return ImageTally()

"""Loss and metrics of segmentation.

A network's logits may be coarser than the masks. They are then interpolated bilinearly to the
masks' size, as Chen et al. 2017 (DeepLabV3, section 4.1) do in training and in testing, so that no
label is lost. Corners are aligned: with strided convolutions logit i looks at pixel
`output_stride`·i.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F


def full_size(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Logits (N, classes, h, w) interpolated to (N, classes, *size)."""
    if logits.shape[2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=True)


def pixel_loss(
    logits: torch.Tensor,
    masks: torch.Tensor,
    void: int | None,
    *,
    reduction: str = "mean",
    weights: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross entropy over all pixels that are not void; 0 if all are.

    Args:
        logits: (N, classes, h, w), of any size.
        masks: int64 (N, H, W).
        void: label of pixels that do not count.
        reduction: `mean` over the pixels that count, or their `sum`.
        weights, smoothing: as in `objective.task_loss`.
    """
    height, width = masks.shape[1:]
    # One row per pixel: the two-dimensional loss has no deterministic kernel on a GPU.
    rows = full_size(logits, (height, width)).permute(0, 2, 3, 1).flatten(0, 2)
    ignored = -100 if void is None else void
    labels = masks.flatten()
    total = F.cross_entropy(
        rows,
        labels,
        weight=weights,
        label_smoothing=smoothing,
        ignore_index=ignored,
        reduction="sum",
    )
    if reduction == "sum":
        return total
    return total / (labels != ignored).sum().clamp(min=1)


def _counted(
    truth: torch.Tensor, predicted: torch.Tensor, classes: int, void: int | None
) -> torch.Tensor:
    if void is not None:
        kept = truth != void
        truth, predicted = truth[kept], predicted[kept]
    pairs = torch.bincount(truth * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)


def counted_on_a_device(
    truth: torch.Tensor, predicted: torch.Tensor, classes: int, void: int | None
) -> torch.Tensor:
    """Pixels by true and by predicted class, int64 (classes, classes), as a product of matrices:
    neither the shape of a result nor the largest class has to be fetched from the device.

    Args:
        truth, predicted: int64 (N,) with N below 2**53, in the order of any memory.
    """
    numbers = torch.arange(classes, device=truth.device)
    rows = (truth[None] == numbers[:, None]).double()
    if void is not None and 0 <= void < classes:
        rows[void] = 0
    return (rows @ (predicted[:, None] == numbers).double()).round().long()


@dataclass
class Confusion:
    """How often each class was taken for each other, over many images.

    Args:
        classes: number of classes.
        void: label of pixels that do not count.

    Attributes:
        counts: int64 (classes, classes), true class by predicted class. The matrices of several
            processes add up.
    """

    classes: int
    void: int | None
    counts: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.counts = torch.zeros((self.classes, self.classes), dtype=torch.int64)

    def add(self, predicted: torch.Tensor, masks: torch.Tensor) -> None:
        """Count predicted classes against masks; int64 of equal shape."""
        truth, predicted = masks.flatten(), predicted.flatten()
        self.counts = self.counts.to(truth.device)
        if truth.device.type == "cpu":
            self.counts += _counted(truth, predicted, self.classes, self.void)
        else:
            self.counts += counted_on_a_device(truth, predicted, self.classes, self.void)

    def add_logits(self, logits: torch.Tensor, masks: torch.Tensor) -> None:
        """Count the largest logit of each pixel; logits may be coarser than masks."""
        height, width = masks.shape[1:]
        self.add(full_size(logits.detach(), (height, width)).argmax(1), masks)

    def add_arrays(self, logits: np.ndarray, masks: np.ndarray) -> None:
        """Count integer logits (N, classes, h, w) against masks (N, H, W), as `add_logits` does.

        They are interpolated in float64: that keeps them as close to equal as the integers were.
        """
        for one, mask in zip(logits, masks, strict=True):  # one at a time: float64 takes memory
            self.add_logits(
                torch.from_numpy(one[None].astype(np.float64)), torch.from_numpy(mask[None])
            )

    def iou(self) -> torch.Tensor:
        """Intersection over union of each class, float64 (classes,); NaN for a class that is in no
        mask and never predicted."""
        hit = self.counts.diagonal().double()
        union = self.counts.sum(0) + self.counts.sum(1) - self.counts.diagonal()
        return hit / union.double()

    def miou(self) -> float:
        """Mean of `iou` over the classes that have one, in [0, 1]; 0 if none has."""
        mean = self.iou().nanmean()
        return float(mean) if bool(torch.isfinite(mean)) else 0.0

    def pixel_accuracy(self) -> float:
        """Share of the pixels that count whose class is right, in [0, 1]."""
        return float(self.counts.diagonal().sum()) / max(1, int(self.counts.sum()))

"""Factors of the loss by class, from how often each class occurs in training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from qdeploy.data.dataset import Dataset

# Paszke et al. 2016, ENet, section 5.2: weights from 1.4 to 50.5 before they are normalized.
OFFSET = 1.02


def balanced(dataset: Dataset) -> list[float]:
    """A weight for each class: N / (K · n), where n of the N training labels name it and K classes
    occur; 0 for a class that does not. Their mean over the training labels is 1."""
    counts: list[int] = dataset.train.label_counts(len(dataset.classes)).tolist()
    occurring = sum(count > 0 for count in counts)
    return [sum(counts) / (occurring * count) if count else 0.0 for count in counts]


def logarithmic(dataset: Dataset) -> list[float]:
    """A weight for each class, proportional to 1 / ln(1.02 + n / N), where n of the N training
    labels name it (Paszke et al. 2016, ENet, section 5.2); 0 for a class that does not occur. Their
    mean over the training labels is 1."""
    counts: list[int] = dataset.train.label_counts(len(dataset.classes)).tolist()
    shares = [count / max(1, sum(counts)) for count in counts]
    raw = [1 / math.log(OFFSET + share) if share else 0.0 for share in shares]
    mean = math.fsum(share * weight for share, weight in zip(shares, raw, strict=True))
    return [weight / mean if weight else 0.0 for weight in raw]


RULES: Mapping[str, Callable[[Dataset], list[float]]] = {
    "balanced": balanced,
    "logarithmic": logarithmic,
}

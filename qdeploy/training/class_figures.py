"""How well each class is told from the others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qdeploy.build_records import (
    ClassesRecord,
)

# A matrix of more is no table that anyone reads.
MOST_CLASSES = 1000


def class_figures(
    labels: npt.NDArray[np.integer],
    predicted: npt.NDArray[np.integer],
    names: tuple[str, ...],
    margins: npt.NDArray[np.floating] | None = None,
) -> ClassesRecord:
    """The record of frames with one class each.

    Args:
        labels, predicted: (N,), indices into `names`.
        names: of the classes.
        margins: (N,), logit of class 1 less that of class 0, for the area under the curve of two
            classes.
    """
    from sklearn import metrics

    every = np.arange(len(names))
    matrix = metrics.confusion_matrix(labels, predicted, labels=every)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    found = ClassesRecord(
        classes=list(names),
        frames=len(labels),
        confusion=matrix.tolist(),
        accuracy=float(np.mean(labels == predicted)),
        balanced_accuracy=float(recall[matrix.sum(axis=1) > 0].mean()),
        precision=precision.tolist(),
        recall=recall.tolist(),
        f1=f1.tolist(),
    )
    if margins is not None and len(np.unique(labels)) == 2:
        found["roc_auc"] = float(metrics.roc_auc_score(labels, margins))
    return found

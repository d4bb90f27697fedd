"""What a run's summary says of the test set besides one figure: by class, or by target."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.training.batches import Batching, evaluation_batches
from qdeploy.training.class_figures import class_figures
from qdeploy.training.evaluate import count
from qdeploy.training.objective import NumberTally
from qdeploy.training.workers import ALONE, Workers

# Keys of summary.json.
BY_CLASS, BY_TARGET = "by_class", "by_target"
# Of more, a summary has no figures: nobody reads them, and analysis of a build has its own file.
MOST = 100


def detailed(
    network: nn.Module, dataset: Dataset, batching: Batching, workers: Workers = ALONE
) -> dict[str, Any]:
    """Entries of summary.json, the same in every process.

    Returns:
        `by_class`, as `classes.json` of a build has it (balanced accuracy, precision, recall and F1
        of each class, confusion matrix, and of two classes the area under the ROC curve); for
        regression `by_target`, name -> `r2` and `mae`; nothing for masks, and for more than `MOST`
        classes.
    """
    if dataset.targets is not None:
        counted = count(network, dataset, batching, workers)
        assert isinstance(counted, NumberTally)
        pairs = zip(dataset.classes, *counted.by_target(), strict=True)
        return {BY_TARGET: {name: {"r2": r2, "mae": mae} for name, r2, mae in pairs}}
    if dataset.task != "classification" or not 2 <= len(dataset.classes) <= MOST:
        return {}
    labels, predicted, margins = _predicted(network, dataset, batching, workers)
    two = len(dataset.classes) == 2
    return {BY_CLASS: class_figures(labels, predicted, dataset.classes, margins if two else None)}


def _predicted(
    network: nn.Module, dataset: Dataset, batching: Batching, workers: Workers
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Labels and classes of the test set, (N,), and the logit of class 1 less that of class 0."""
    was_training = network.training
    network.eval()
    parts = []
    with torch.no_grad():
        for inputs, labels in evaluation_batches(dataset, batching, workers.shard, workers.device):
            logits = network(inputs).double()
            parts.append(torch.stack([labels, logits.argmax(1), logits[:, 1] - logits[:, 0]]).cpu())
    network.train(was_training)
    own = torch.cat(parts, 1).numpy() if parts else np.zeros((3, 0))
    whole = np.concatenate(workers.gather(own), axis=1)
    return whole[0].astype(np.int64), whole[1].astype(np.int64), whole[2]

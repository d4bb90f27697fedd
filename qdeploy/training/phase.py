"""One phase: epochs of stochastic gradient descent with a checkpoint behind each."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from qdeploy.data.dataset import Dataset
from qdeploy.progress import Meter, meter, say
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.training.batches import steps_per_epoch, training_batches
from qdeploy.training.checkpoints import CheckpointFolder, Position
from qdeploy.training.evaluate import measure
from qdeploy.training.lipschitz import lipschitz_term
from qdeploy.training.objective import tally, task_loss
from qdeploy.training.run import CHECKPOINTS, recipe_digest, write_metrics
from qdeploy.training.schedules import learning_rate
from qdeploy.training.state import all_finite, collect, make_optimizer, restore_training
from qdeploy.training.trouble import not_finite


@dataclass
class PhaseTrainer:
    """Trains `network` in place for one phase.

    Args:
        recipe: resolved.
        index: number of the phase, from 0.
        network: float for pretraining, quantized otherwise.
        dataset: images as raw bytes.
        folder: the run folder.
        metrics: rows so far; a row is added for each epoch.
        checkpoint: path of the newest checkpoint, for messages.
    """

    recipe: Recipe
    index: int
    network: nn.Module
    dataset: Dataset
    folder: Path
    metrics: list[dict[str, Any]]
    checkpoint: Path | None = None
    _phase: Phase = field(init=False)
    _steps: int = field(init=False)
    _optimizer: torch.optim.SGD = field(init=False)

    def __post_init__(self) -> None:
        self._phase = self.recipe.phases[self.index]
        self._steps = steps_per_epoch(len(self.dataset.train), self.recipe.data.batch_size)
        self._optimizer = make_optimizer(self.network, self._phase.optimizer)

    def run(self, done: int = 0, tensors: dict[str, torch.Tensor] | None = None) -> None:
        """Train the epochs behind the first `done`, whose state is in `tensors`.

        Raises:
            TrainingError: when the loss or a weight is no longer finite.
        """
        epochs = self.recipe.epochs_of(self._phase)
        if tensors is not None:
            restore_training(self.network, self._optimizer, tensors)
        batch = min(self.recipe.data.batch_size, len(self.dataset.train))
        images = self._steps * batch
        with meter(self._phase.name, epochs * images, "images") as bar:
            bar.begin_at(done * images)
            for epoch in range(done, epochs):
                row = self._epoch(epoch, bar)
                self.metrics.append(row)
                write_metrics(self.folder, self.metrics)
                self._save(epoch + 1, last=epoch + 1 == epochs)
                say(_sentence(row))

    def _epoch(self, epoch: int, bar: Meter) -> dict[str, Any]:
        self.network.train()
        began = time.monotonic()
        loss_sum = lipschitz = 0.0
        counted, seen = tally(self.dataset), 0
        rate = 0.0
        batches = training_batches(self.dataset, self.recipe, self.index, epoch)
        for index, (inputs, labels) in enumerate(batches):
            step = epoch * self._steps + index
            rate = learning_rate(self._phase, step, self._steps)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            logits = self.network(inputs)
            loss = task_loss(self.dataset, logits, labels)
            value = loss.item()
            if self._phase.lipschitz > 0:
                term = lipschitz_term(self.network)
                lipschitz = term.item()
                loss = loss + self._phase.lipschitz * term
            if not math.isfinite(value):
                raise self._not_finite("loss", inputs, epoch, step)
            if not math.isfinite(lipschitz):
                raise self._not_finite("Lipschitz term", inputs, epoch, step)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self._optimizer.step()
            loss_sum += value * len(labels)
            counted.add(logits, labels)
            seen += len(labels)
            bar.advance(len(labels), f"loss {loss_sum / seen:.3f}")
        if not all_finite(self.network):
            raise self._not_finite("state of the network", inputs, epoch, step)
        trained = time.monotonic() - began
        if self._phase.lipschitz == 0:
            with torch.no_grad():
                lipschitz = lipschitz_term(self.network).item()
        return {
            "phase": self._phase.name,
            "phase_index": self.index,
            "kind": self._phase.kind,
            "epoch": epoch + 1,
            "epochs": self.recipe.epochs_of(self._phase),
            "lr": rate,
            "loss": loss_sum / seen,
            "lipschitz": lipschitz,
            **{f"train_{name}": value for name, value in counted.metrics().items()},
            **measure(self.network, self.dataset, self.recipe),
            "images_per_second": seen / max(trained, 1e-9),
            "seconds": time.monotonic() - began,
        }

    def _save(self, epoch: int, *, last: bool) -> None:
        self.checkpoint = CheckpointFolder(self.folder / CHECKPOINTS).save(
            Position(self.index, epoch),
            collect(self.network, self._optimizer),
            {
                "recipe_sha256": recipe_digest(self.recipe),
                "phase_name": self._phase.name,
                "threads": torch.get_num_threads(),
            },
            keep=last,
        )

    def _not_finite(self, what: str, inputs: torch.Tensor, epoch: int, step: int) -> Exception:
        return not_finite(
            what,
            self.network,
            inputs,
            f"phase {self._phase.name}, epoch {epoch + 1}, step {step + 1}",
            str(self.checkpoint) if self.checkpoint else None,
        )


def _sentence(row: dict[str, Any]) -> str:
    overlap = f" (mIoU {row['miou']:.2%})" if "miou" in row else ""
    return (
        f"{row['phase']} {row['epoch']}/{row['epochs']}: loss {row['loss']:.4f}, train "
        f"{row['train_accuracy']:.2%}, test {row['accuracy']:.2%}{overlap}, lr {row['lr']:.3g}, "
        f"L_Lip {row['lipschitz']:.4g}, {row['images_per_second']:,.0f} images/s"
    )

"""One phase: epochs of stochastic gradient descent with a checkpoint behind each."""

from __future__ import annotations

import contextlib
import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from qdeploy.data.dataset import Dataset
from qdeploy.errors import TrainingError
from qdeploy.progress import Meter, meter, say
from qdeploy.quant.quantizers import fix_weight_steps
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.training.batches import steps_per_epoch, training_batches
from qdeploy.training.checkpoints import CheckpointFolder, Position
from qdeploy.training.ema import Ema
from qdeploy.training.evaluate import ALONE, measure
from qdeploy.training.lipschitz import lipschitz_term
from qdeploy.training.mixed_precision import mixed_precision
from qdeploy.training.objective import Tally, tally, task_loss
from qdeploy.training.run import CHECKPOINTS, recipe_digest, write_metrics
from qdeploy.training.schedules import learning_rate
from qdeploy.training.state import all_finite, collect, make_optimizer, restore_training
from qdeploy.training.trouble import (
    broken_gradient,
    broken_statistics,
    culprit,
    first_broken,
    not_finite,
)
from qdeploy.training.waiting import Waiting
from qdeploy.training.workers import Workers, followed

LATE = 0.2  # share of an epoch's time; loading limits training from about here on


@dataclass(frozen=True)
class _Place:
    """Where a run is, for messages; all count from 0."""

    epoch: int
    step: int
    inputs: torch.Tensor


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
        workers: the processes that train together; `network` is ready for them.
    """

    recipe: Recipe
    index: int
    network: nn.Module
    dataset: Dataset
    folder: Path
    metrics: list[dict[str, Any]]
    checkpoint: Path | None = None
    workers: Workers = ALONE
    _phase: Phase = field(init=False)
    _steps: int = field(init=False)
    _optimizer: torch.optim.SGD = field(init=False)
    _model: nn.Module = field(init=False)
    _ema: Ema | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._phase = self.recipe.phases[self.index]
        self._steps = steps_per_epoch(len(self.dataset.train), self.recipe.data.batch_size)
        if self.recipe.quantization.weight_step == "fixed":
            # Here and not when it is built: loading a state makes the scales anew.
            fix_weight_steps(self.network)
        self._optimizer = make_optimizer(self.network, self._phase.optimizer)
        self._model = self.workers.parallel(self.network)
        if self._phase.ema > 0:
            self._ema = Ema(self.network, self._phase.ema)

    def run(self, done: int = 0, tensors: dict[str, torch.Tensor] | None = None) -> None:
        """Train the epochs behind the first `done`, whose state is in `tensors`.

        Raises:
            CheckpointError: when a checkpoint cannot be written.
            TrainingError: when the loss, a gradient, a statistic or a weight is no longer finite.
        """
        epochs = self.recipe.epochs_of(self._phase)
        if tensors is not None:
            restore_training(self.network, self._optimizer, tensors)
            if self._ema is not None and done < epochs:
                self._ema.restore(tensors)
        batch = min(self.recipe.data.batch_size, len(self.dataset.train))
        images = self._steps * batch
        with meter(self._phase.name, epochs * images, "images") as bar:
            bar.begin_at(done * images)
            for epoch in range(done, epochs):
                row = self._epoch(epoch, bar)
                last = epoch + 1 == epochs
                if self._ema is not None and last:
                    self._ema.give()
                self.metrics.append(row)
                if self.workers.is_first:
                    write_metrics(self.folder, self.metrics)
                    self._save(epoch + 1, last=last)
                say(_sentence(row))

    def _epoch(self, epoch: int, bar: Meter) -> dict[str, Any]:
        self.network.train()
        began = time.monotonic()
        loss_sum = lipschitz = rate = 0.0
        counted, seen = tally(self.dataset), 0
        batches = Waiting(
            training_batches(
                self.dataset,
                self.recipe,
                self.index,
                epoch,
                self.workers.shard,
                device=self.workers.device,
            )
        )
        for index, (inputs, labels) in enumerate(batches):
            place = _Place(epoch, epoch * self._steps + index, inputs)
            rate = learning_rate(
                self._phase, place.step, self._steps, self.recipe.epochs_of(self._phase)
            )
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            value, lipschitz = self._step(inputs, labels, place, counted)
            if self._ema is not None:
                self._ema.update(place.step)
            loss_sum += value * len(labels)
            seen += len(labels)
            bar.advance(len(labels) * self.workers.world, f"loss {loss_sum / seen:.3f}")
        if not all_finite(self.network):
            raise self._not_finite("state of the network", place)
        trained = time.monotonic() - began
        if self._phase.lipschitz == 0:
            with torch.no_grad():
                lipschitz = lipschitz_term(self.network).item()
        loss_sum, seen = self.workers.add(
            torch.tensor([loss_sum, seen], dtype=torch.float64)
        ).tolist()
        counted.counts.copy_(self.workers.add(counted.counts))
        with self._ema.in_place() if self._ema is not None else contextlib.nullcontext():
            measured = measure(self.network, self.dataset, self.recipe, self.workers)
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
            **measured,
            "images_per_second": seen / max(trained, 1e-9),
            "waiting": batches.seconds / max(trained, 1e-9),
            "seconds": time.monotonic() - began,
        }

    def _step(
        self, inputs: torch.Tensor, labels: torch.Tensor, place: _Place, counted: Tally
    ) -> tuple[float, float]:
        """One step of the optimizer with this process's share of a batch.

        Returns:
            The mean loss of the share, which for segmentation means pixels that count, and L_Lip.
        """
        parts = list(
            zip(
                inputs.chunk(self.recipe.training.accumulate),
                labels.chunk(self.recipe.training.accumulate),
                strict=True,
            )
        )
        shares = self._shares([part for _, part in parts])
        value = lipschitz = 0.0
        self._optimizer.zero_grad(set_to_none=True)
        for index, ((images, wanted), share) in enumerate(zip(parts, shares, strict=True)):
            last = index + 1 == len(parts)
            with self._gradients_stay_here(not last):
                with self._precision():
                    logits = self._model(images)
                loss = task_loss(self.dataset, logits.float(), wanted)
                value += loss.item() * share
                # A share of 1 leaves the bits of a single part as they are.
                objective = loss if share == 1.0 else loss * share
                if last and self._phase.lipschitz > 0:
                    term = lipschitz_term(self.network)
                    lipschitz = term.item()
                    objective = objective + self._phase.lipschitz * term
                if not self.workers.all_true(math.isfinite(value)):
                    raise self._not_finite("loss", place)
                if not math.isfinite(lipschitz):
                    raise self._not_finite("Lipschitz term", place)
                objective.backward()
            counted.add(logits, wanted)
        broken = broken_statistics(self.network) or broken_gradient(self.network)
        if not self.workers.all_true(broken is None):
            raise self._not_finite(broken or "gradient of another process", place)
        self._optimizer.step()
        return value, lipschitz

    def _shares(self, parts: list[torch.Tensor]) -> list[float]:
        """The weight of each part's mean loss, so that the mean over processes of the sum over
        parts is the mean over the batch of all."""
        if len(parts) == self.workers.world == 1:
            return [1.0]
        void = self.dataset.void
        counts = [float((p != void).sum()) if void is not None else float(len(p)) for p in parts]
        total = float(self.workers.add(torch.tensor(sum(counts), dtype=torch.float64)))
        return [count * self.workers.world / max(1.0, total) for count in counts]

    def _precision(self) -> AbstractContextManager[object]:
        if self.recipe.training.precision == "float32":
            return contextlib.nullcontext()
        return mixed_precision(self.network, self.workers.device)

    def _gradients_stay_here(self, wanted: bool) -> AbstractContextManager[object]:
        """Gradients are exchanged once, with the last part of a batch."""
        if wanted and isinstance(self._model, DistributedDataParallel):
            return self._model.no_sync()
        return contextlib.nullcontext()

    def _save(self, epoch: int, *, last: bool) -> None:
        tensors = collect(self.network, self._optimizer)
        if self._ema is not None:
            tensors.update(self._ema.tensors())
        self.checkpoint = CheckpointFolder(self.folder / CHECKPOINTS).save(
            Position(self.index, epoch),
            tensors,
            {
                "recipe_sha256": recipe_digest(self.recipe),
                "phase_name": self._phase.name,
                "threads": torch.get_num_threads(),
                "processes": self.workers.world,
            },
            keep=last,
        )

    def _not_finite(self, what: str, place: _Place) -> TrainingError:
        """The error for people; all processes come here together."""
        found = first_broken(self.network, place.inputs)
        known = [one for one in self.workers.gather(found) if one is not None]
        if not self.workers.is_first:
            return followed(self.workers)
        return not_finite(
            what,
            culprit(self.network, min(known) if known else None),
            f"phase {self._phase.name}, epoch {place.epoch + 1}, step {place.step + 1}",
            str(self.checkpoint) if self.checkpoint else None,
            str(self.folder) if self.index > 0 else None,
        )


def _sentence(row: dict[str, Any]) -> str:
    overlap = f" (mIoU {row['miou']:.2%})" if "miou" in row else ""
    late = f", {row['waiting']:.0%} of the time waiting for data" if row["waiting"] > LATE else ""
    return (
        f"{row['phase']} {row['epoch']}/{row['epochs']}: loss {row['loss']:.4f}, train "
        f"{row['train_accuracy']:.2%}, test {row['accuracy']:.2%}{overlap}, lr {row['lr']:.3g}, "
        f"L_Lip {row['lipschitz']:.4g}, {row['images_per_second']:,.0f} images/s{late}"
    )

"""One phase: epochs of gradient descent, with a checkpoint after each."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from qdeploy.data.dataset import Dataset, Split
from qdeploy.errors import TrainingError
from qdeploy.observer import SILENT, Meter, Observer
from qdeploy.quant.direct import Direct
from qdeploy.recipe.models import Phase
from qdeploy.training.batches import Batching, steps_per_epoch, training_batches
from qdeploy.training.best_epoch import BestEpoch
from qdeploy.training.chain import Chain
from qdeploy.training.checkpoints import Checkpoint, Position
from qdeploy.training.data_wait import DataWait
from qdeploy.training.divergence import cause, divergence_error, first_divergent, reason
from qdeploy.training.ema import Ema
from qdeploy.training.evaluate import measure
from qdeploy.training.journal import Journal
from qdeploy.training.lipschitz import LipschitzTerm
from qdeploy.training.methods.method import Method
from qdeploy.training.metrics import TEST, TRAIN, VALIDATION, EpochMetrics
from qdeploy.training.mixed_precision import mixed_precision
from qdeploy.training.modes import set_mode
from qdeploy.training.objective import Score, Tally, tally, training_loss
from qdeploy.training.positive_scales import PositiveScales
from qdeploy.training.schedules import learning_rate
from qdeploy.training.state import (
    all_finite,
    collect,
    make_optimizer,
    of_this_network,
    restore_training,
)
from qdeploy.training.step_watch import StepWatch
from qdeploy.training.workers import ALONE, Workers, followed


@dataclass(frozen=True)
class _Moment:
    """Where a training is, for messages; epoch and step count from 0 in the phase."""

    epoch: int
    step: int
    inputs: torch.Tensor


@dataclass
class PhaseTrainer:
    """Trains `network` in place for one phase.

    Args:
        phase: what to do.
        index: number of the phase, from 0.
        epochs: of the phase, with what the recipe changes for all phases.
        network: float for pretraining, quantized otherwise.
        dataset: images as raw bytes.
        batching: how they become batches.
        precision: of products, as in `Training.precision`.
        journal: takes in metrics and checkpoints.
        workers: the processes that train together; `network` is ready for them.
        observer: gets a sentence per epoch, and follows the images.
        methods: what it does besides gradient descent, for this `network`.
        keep: the epoch whose network is kept, as in `Training.keep`.
    """

    phase: Phase
    index: int
    epochs: int
    network: nn.Module
    dataset: Dataset
    batching: Batching
    precision: Literal["float32", "bfloat16"]
    journal: Journal
    workers: Workers = ALONE
    observer: Observer = SILENT
    methods: Method = field(default_factory=Method)
    keep: Literal["best", "last"] = "best"
    _steps: int = field(init=False)
    _optimizer: torch.optim.Optimizer = field(init=False)
    _model: nn.Module = field(init=False)
    _loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = field(init=False)
    _live: dict[str, torch.Tensor] = field(init=False)
    _named: dict[str, nn.Parameter] = field(init=False)
    _watch: StepWatch = field(init=False)
    _now: _Moment = field(init=False)
    _direct: Direct = field(init=False)
    _chain: Chain = field(init=False)
    _scales: PositiveScales = field(init=False)
    _lipschitz: LipschitzTerm = field(init=False)
    _ema: Ema | None = field(init=False, default=None)
    _best: BestEpoch | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._steps = steps_per_epoch(len(self.dataset.train), self.batching.batch_size)
        self._optimizer = make_optimizer(self.network, self.phase.optimizer)
        self._model = self.workers.parallel(self.network)
        self._loss = training_loss(self.dataset, self.phase.loss, self.workers.device)
        # Listed once: the tensors of a phase stay the same, and modules of quantizers are many.
        self._live = {name: value.detach() for name, value in self.network.state_dict().items()}
        self._named = dict(self.network.named_parameters())
        self._watch = StepWatch(self.network, self.workers, self._divergence)
        self._direct = Direct(self.network)
        self._chain = Chain(self.network)
        self._scales = PositiveScales(self.network)
        self._lipschitz = LipschitzTerm(
            self.network, inner=self.phase.lipschitz > 0 and self.phase.lipschitz_layers == "inner"
        )
        if self.phase.ema > 0:
            self._ema = Ema(self.network, self.phase.ema)
        if self.dataset.validation is not None:
            self._best = BestEpoch(self.network, self.phase.patience)

    def run(self, resumed: Checkpoint | None = None) -> None:
        """Train all epochs, or those after the checkpoint of one of this phase's.

        Raises:
            CheckpointError: when a checkpoint cannot be written, or that one does not belong here.
            TrainingError: when the loss, a gradient, a statistic or a weight is no longer finite.
        """
        done = 0 if resumed is None else self._resume(resumed)
        images = self._steps * min(self.batching.batch_size, len(self.dataset.train))
        meter = self.observer.meter(self.phase.name, self.epochs * images, "images")
        with meter as bar, self._direct, self._chain, self.methods:
            bar.begin_at(done * images)
            for epoch in range(done, self.epochs):
                row = self._epoch(epoch, bar)
                last = epoch + 1 == self.epochs or (
                    self._best is not None and self._best.waited_enough(epoch + 1)
                )
                if last:
                    row = self._end(row)
                self.journal.add(row)
                if self.journal.writes:
                    self._save(epoch + 1, last=last)
                self.observer.note(row.sentence())
                if last:
                    break

    def _resume(self, checkpoint: Checkpoint) -> int:
        """Take over its state; returns the number of epochs that need no training."""
        restore_training(self.network, self._optimizer, checkpoint.tensors)
        if checkpoint.ends_phase:
            return self.epochs
        with of_this_network():
            for kept in (self._ema, self._best, self.methods):
                if kept is not None:
                    kept.restore(checkpoint.tensors)
        return checkpoint.position.epoch

    def _end(self, row: EpochMetrics) -> EpochMetrics:
        """Make what the phase keeps the network's state, and measure it on the test set.

        Returns:
            `row`, the last one, with that.
        """
        if self._best is None:
            return row
        began, kept = time.monotonic(), row.epoch
        if self.keep == "best":
            self._best.give()
            kept = self._best.epoch
            if kept < self.epochs:
                self.methods.settle()
        elif row.epoch < self.epochs:
            self._conclude()
            row = row.with_score(self._score(self.dataset.validation), VALIDATION)
        tested = row.with_score(self._score(None))
        return replace(tested, kept_epoch=kept, seconds=row.seconds + time.monotonic() - began)

    def _epoch(self, epoch: int, bar: Meter) -> EpochMetrics:
        set_mode(self.network, training=True)
        began = time.monotonic()
        self.methods.begin_epoch(epoch)
        rate, counted, seen, note = 0.0, tally(self.dataset), 0, None
        # On the device: see `StepWatch`.
        losses = torch.zeros((), dtype=torch.float64, device=self.workers.device)
        term = losses
        batches = DataWait(
            training_batches(
                self.dataset,
                self.batching.during(self.phase),
                self.index,
                epoch,
                self.workers.shard,
                device=self.workers.device,
            )
        )
        for index, (inputs, labels) in enumerate(batches):
            moment = self._now = _Moment(epoch, epoch * self._steps + index, inputs)
            rate = learning_rate(self.phase, moment.step, self._steps, self.epochs)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            rate = self.methods.rate(self._optimizer, moment.step, rate)
            value, term = self._step(inputs, labels, moment, counted)
            if self._ema is not None:
                self._ema.update(moment.step)
            losses += value * len(labels)
            seen += len(labels)
            if self._watch.looks_after(moment.step):
                note = f"loss {float(losses) / seen:.3f}"
            bar.advance(len(labels) * self.workers.world, note)
        self._watch.look()
        if not all_finite(self._live):
            raise self._divergence("state of the network", moment.step)
        loss_sum, lipschitz = float(losses), float(term)
        trained = time.monotonic() - began
        share = None
        if self.phase.lipschitz > 0:
            share = self._lipschitz.share(self.phase.lipschitz, list(self.network.parameters()))
        else:
            lipschitz = self._lipschitz.value()
        loss_sum, seen = self.workers.add(
            torch.tensor([loss_sum, seen], dtype=torch.float64)
        ).tolist()
        counted.counts.copy_(self.workers.add(counted.counts))
        self.methods.end_epoch(epoch)
        measured = self._measured(epoch)
        row = EpochMetrics(
            phase=self.phase.name,
            phase_index=self.index,
            kind=self.phase.kind,
            epoch=epoch + 1,
            epochs=self.epochs,
            lr=rate,
            loss=loss_sum / seen,
            lipschitz=lipschitz,
            lipschitz_share=share,
            images_per_second=seen / max(trained, 1e-9),
            waiting=batches.seconds / max(trained, 1e-9),
            seconds=time.monotonic() - began,
        )
        row = row.with_score(counted.score(), TRAIN)
        return row.with_score(measured, TEST if self._best is None else VALIDATION)

    def _measured(self, epoch: int) -> Score:
        """The score after an epoch, on the validation split where there is one, or the test set."""
        last = epoch + 1 == self.epochs
        if last:
            self._conclude()
        with self._ema.in_place() if self._ema and not last else contextlib.nullcontext():
            if not last:
                self.methods.judge()
            score = self._score(self.dataset.validation)
            if self._best is not None:
                self._best.see(epoch + 1, score)
        return score

    def _score(self, split: Split | None) -> Score:
        """The score of the network as it is, on a split, by default the test set."""
        return measure(self.network, self.dataset, self.batching, self.workers, split)

    def _step(
        self, inputs: torch.Tensor, labels: torch.Tensor, moment: _Moment, counted: Tally
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step of the optimizer with this process's share of a batch.

        Returns:
            The mean loss of the share, which for segmentation means pixels that count, float64, and
            L_Lip; numbers on the device.
        """
        count = self.batching.parts
        parts: list[tuple[torch.Tensor, torch.Tensor]] = [(inputs, labels)]
        if count > 1:
            parts = list(zip(inputs.chunk(count), labels.chunk(count), strict=True))
        shares = self._shares([part for _, part in parts])
        value = torch.zeros((), dtype=torch.float64, device=self.workers.device)
        lipschitz = value
        self._optimizer.zero_grad(set_to_none=True)
        for index, ((images, wanted), share) in enumerate(zip(parts, shares, strict=True)):
            last = index + 1 == len(parts)
            with self._gradients_stay_here(not last):
                with self._precision():
                    logits = self._model(images)
                loss = self._loss(logits.float(), wanted)
                loss = self.methods.loss(loss, images, logits.float())
                value = value + loss.detach().double() * share if count > 1 else _mean(loss, share)
                # A share of 1 leaves the bits of a single part as they are.
                objective = loss if share == 1.0 else loss * share
                self._watch.value("loss", value, moment.step)
                objective.backward()
            counted.add(logits, wanted)
        if self.phase.lipschitz > 0:
            # Of the weights alone, and so the same in every process.
            lipschitz = self._lipschitz.add_gradient(self.phase.lipschitz)
            self._watch.value("Lipschitz term", lipschitz, moment.step)
        self._watch.gradients(moment.step)
        self.methods.before_update(moment.step)
        if self.phase.clip_norm > 0:
            # Of the whole batch's gradient: it is the same in every process.
            nn.utils.clip_grad_norm_(self.network.parameters(), self.phase.clip_norm)
        self._scales.before()
        self._optimizer.step()
        self._scales.after()
        self.methods.after_update(moment.step)
        return value, lipschitz

    def _conclude(self) -> None:
        """The network becomes what the phase ends with."""
        if self._ema is not None:
            self._ema.give()
        self.methods.conclude()
        self.methods.settle()

    def _shares(self, parts: list[torch.Tensor]) -> list[float]:
        """The weight of each part's mean loss, so that the mean over processes of the sum over
        parts is the mean over the batch of all."""
        void = self.dataset.void
        if void is None:
            return [1.0 / len(parts)] * len(parts)  # all parts of all processes are equal
        if len(parts) == self.workers.world == 1:
            return [1.0]
        counts = [float((p != void).sum()) for p in parts]
        total = float(self.workers.add(torch.tensor(sum(counts), dtype=torch.float64)))
        return [count * self.workers.world / max(1.0, total) for count in counts]

    def _precision(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return contextlib.nullcontext()
        return mixed_precision(self.network, self.workers.device)

    def _gradients_stay_here(self, wanted: bool) -> AbstractContextManager[object]:
        """Gradients are exchanged once, with the last part of a batch."""
        if wanted and isinstance(self._model, DistributedDataParallel):
            return self._model.no_sync()
        return contextlib.nullcontext()

    def _save(self, epoch: int, *, last: bool) -> None:
        tensors = collect(self._live, self._named, self._optimizer)
        if self._ema is not None:
            tensors.update(self._ema.tensors())
        tensors.update(self.methods.tensors())
        if self._best is not None and not last:
            tensors.update(self._best.tensors())
        position = Position(self.index, epoch)
        self.journal.save(position, self.phase.name, tensors, keep=last)

    def _divergence(self, what: str, step: int) -> TrainingError:
        """The error for people, for a step of this epoch; all processes come here together."""
        moment = self._now
        self._chain.leave()
        self._direct.leave()  # what is not finite may be inside of a quantizer
        found = first_divergent(self.network, moment.inputs)
        known = [one for one in self.workers.gather(found) if one is not None]
        if not self.workers.is_first:
            return followed(self.workers)
        newest = self.journal.newest
        return divergence_error(
            what,
            cause(self.network, min(known) if known else None),
            reason(self.network, self.phase.lipschitz),
            f"phase {self.phase.name}, epoch {moment.epoch + 1}, step {step + 1}",
            str(newest) if newest else None,
            str(self.journal.folder) if self.index > 0 else None,
        )


def _mean(loss: torch.Tensor, share: float) -> torch.Tensor:
    """The loss of a batch of one part."""
    made = loss.detach().double()
    return made if share == 1.0 else made * share

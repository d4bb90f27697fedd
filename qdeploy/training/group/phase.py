"""One phase of many seeds at once: what `training.phase` does for one network, for all of them.

Each network has its own initial values, its own order of images and its own state of the optimizer;
learning rates are the same for all. A step of the optimizer is element by element, so one optimizer
over stacked parameters does what one for each network would.

Nothing is told of what is not finite: the group ends, and its trainings go on one by one from their
last checkpoints, which finds the step and says what is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from qdeploy.data.dataset import Dataset, MemorySplit, network_input
from qdeploy.observer import Observer
from qdeploy.quant.direct import Direct
from qdeploy.recipe.models import Phase, Recipe
from qdeploy.training.batches import (
    Batching,
    epoch_generator,
    epoch_order,
    evaluation_batches,
    steps_per_epoch,
)
from qdeploy.training.checkpoints import Checkpoint, Position
from qdeploy.training.group.lipschitz import GroupedLipschitz
from qdeploy.training.group.stacked import Stacked
from qdeploy.training.journal import Journal
from qdeploy.training.methods.of_phase import phase_methods
from qdeploy.training.metrics import TEST, TRAIN, EpochMetrics
from qdeploy.training.objective import Score
from qdeploy.training.positive_scales import LEAST_SHARE
from qdeploy.training.schedules import learning_rate
from qdeploy.training.state import KEPT, NETWORK, RANDOM, optimizer_of, weight_names
from qdeploy.training.workers import ALONE

SECONDS_BETWEEN_CHECKPOINTS = 30.0


class NotFiniteError(Exception):
    """A number of one of the networks is no longer finite."""


@dataclass
class GroupPhase:
    """Trains networks in place for one phase with epochs.

    Args:
        recipes: of the trainings, which differ in the seed.
        index: number of the phase.
        networks: one for each.
        journals: likewise.
        dataset: in memory, of classes.
    """

    recipes: Sequence[Recipe]
    index: int
    networks: Sequence[nn.Module]
    journals: Sequence[Journal]
    dataset: Dataset
    observer: Observer
    _phase: Phase = field(init=False)
    _epochs: int = field(init=False)
    _steps: int = field(init=False)
    _stack: Stacked = field(init=False)
    _optimizer: torch.optim.Optimizer = field(init=False)
    _lipschitz: GroupedLipschitz = field(init=False)
    _learned: list[torch.Tensor] = field(init=False)
    _rows: list[list[EpochMetrics]] = field(init=False)

    def __post_init__(self) -> None:
        recipe = self.recipes[0]
        self._phase = recipe.phases[self.index]
        self._epochs = recipe.epochs_of(self._phase)
        self._batchings = [Batching.of(one) for one in self.recipes]
        self._size = recipe.data.batch_size
        self._steps = steps_per_epoch(len(self.dataset.train), self._size)
        self._stack = Stacked(self.networks)
        self._optimizer = optimizer_of(
            self._stack.parameters, weight_names(self.networks[0]), self._phase.optimizer
        )
        inner = self._phase.lipschitz > 0 and self._phase.lipschitz_layers == "inner"
        weights = [layer.weight for layer in self._stack.layers]
        self._lipschitz = GroupedLipschitz(weights, inner=inner)
        self._learned = [
            value
            for name, value in self._stack.parameters.items()
            if name.endswith("scaling_impl.value") and value.requires_grad
        ]
        self._rows = [[] for _ in self.recipes]
        self._methods = [
            phase_methods(one, self.index, network, self.dataset, ALONE, network, {})
            for one, network in zip(self.recipes, self.networks, strict=True)
        ]

    def run(self, resumed: Sequence[Checkpoint] | None = None) -> None:
        """Train all epochs, or those after checkpoints of this phase, all of one epoch.

        Raises:
            CheckpointError: when a checkpoint cannot be written.
            NotFiniteError: a number is not finite; everything that was saved is.
        """
        done = 0
        if resumed is not None:
            self._restore([one.tensors for one in resumed])
            done = self._epochs if resumed[0].ends_phase else resumed[0].position.epoch
        saved = time.monotonic()
        for epoch in range(done, self._epochs):
            rows = self._epoch(epoch)
            for known, row in zip(self._rows, rows, strict=True):
                known.append(row)
            last = epoch + 1 == self._epochs
            if last or time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
                self._save(epoch + 1, last=last)
                saved = time.monotonic()
            accuracies = sorted(row.accuracy or 0.0 for row in rows)
            self.observer.note(
                f"{self._phase.name} {epoch + 1}/{self._epochs} of {len(rows)} seeds: accuracy "
                f"{100 * accuracies[0]:.2f} to {100 * accuracies[-1]:.2f} %"
            )

    def give(self) -> None:
        """Write the trained state into the networks."""
        self._stack.give()

    def _epoch(self, epoch: int) -> list[EpochMetrics]:
        began, count = time.monotonic(), len(self.recipes)
        split = self.dataset.train
        assert isinstance(split, MemorySplit)
        orders = torch.stack(
            [
                epoch_order(split, one, epoch_generator(one.seed, self.index, epoch))
                for one in self._batchings
            ]
        )
        losses, right = torch.zeros(count, dtype=torch.float64), torch.zeros(count)
        term, seen, rate = torch.zeros(count), 0, 0.0
        for step in range(self._steps):
            chosen = orders[:, step * self._size : (step + 1) * self._size]
            flat = chosen.reshape(-1)
            images = network_input(split.images[flat], self._batchings[0].input_bits)
            labels = split.labels[flat].to(torch.int64)
            at = epoch * self._steps + step
            rate = learning_rate(self._phase, at, self._steps, self._epochs)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            values, hits, term = self._step(images.reshape(*chosen.shape, -1), labels)
            losses += values * chosen.shape[1]
            right += hits
            seen += chosen.shape[1]
        if not self._stack.finite():
            raise NotFiniteError
        trained = (time.monotonic() - began) / count
        shares: Sequence[float | None] = [None] * count
        if self._phase.lipschitz > 0:
            gradients = [p.grad for p in self._stack.parameters.values() if p.grad is not None]
            shares = self._lipschitz.shares(self._phase.lipschitz, gradients).tolist()
        else:
            term = self._lipschitz.values()
        self._settle(last=epoch + 1 == self._epochs)
        tested = self._accuracies()
        # Each has its share of the time that all took together.
        seconds = (time.monotonic() - began) / count
        return [
            EpochMetrics(
                phase=self._phase.name,
                phase_index=self.index,
                kind=self._phase.kind,
                epoch=epoch + 1,
                epochs=self._epochs,
                lr=rate,
                loss=float(losses[one]) / seen,
                lipschitz=float(term[one]),
                lipschitz_share=shares[one],
                images_per_second=seen / max(trained, 1e-9),
                seconds=seconds,
            )
            .with_score(Score(float(right[one]) / seen), TRAIN)
            .with_score(Score(tested[one]), TEST)
            for one in range(count)
        ]

    def _step(
        self, inputs: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One step with inputs (S, N, …) and labels (S · N,).

        Returns:
            The mean loss of each network, float64, how many images it has right, and L_Lip; (S,).
        """
        count, size = inputs.shape[:2]
        self._optimizer.zero_grad(set_to_none=True)
        logits = self._stack.train(inputs).flatten(0, 1)
        losses = F.cross_entropy(logits, labels, reduction="none").view(count, size).mean(1)
        if not bool(torch.isfinite(losses).all()):
            raise NotFiniteError
        losses.sum().backward()
        term = torch.zeros(count)
        if self._phase.lipschitz > 0:
            term = self._lipschitz.add_gradient(self._phase.lipschitz)
        with torch.no_grad():
            least = [value.abs() * LEAST_SHARE for value in self._learned]
            self._optimizer.step()
            if least:
                torch._foreach_maximum_(self._learned, least)
            hits = (logits.argmax(1) == labels).view(count, size).sum(1)
        return losses.detach().double(), hits, term

    def _accuracies(self) -> list[float]:
        """Of the networks as they are on the test set."""
        weights = self._stack.weights()
        right, seen = torch.zeros(len(self.recipes), dtype=torch.int64), 0
        for inputs, labels in evaluation_batches(self.dataset, self._batchings[0]):
            logits = self._stack.test(inputs.flatten(1), weights)
            right += (logits.argmax(2) == labels).sum(1)
            seen += len(labels)
        found: list[float] = (right.double() / max(1, seen)).tolist()
        return found

    def _settle(self, *, last: bool) -> None:
        """What the phase's methods do before a test, network by network."""
        if self._phase.recalibrate == 0 or self._phase.kind == "pretrain":
            return  # a group has no other method
        self._stack.give()
        for methods, network in zip(self._methods, self.networks, strict=True):
            with Direct(network):
                if last:
                    methods.conclude()
                    methods.settle()
                else:
                    methods.judge()
        self._stack.take()

    def _save(self, epoch: int, *, last: bool) -> None:
        """Write the rows since the last time, then a checkpoint, into every run folder."""
        position = Position(self.index, epoch)
        optimizer = {
            prefix + name: self._optimizer.state[value][key]
            for key, prefix in KEPT.items()
            for name, value in self._stack.parameters.items()
            if self._optimizer.state.get(value, {}).get(key) is not None
        }
        for one, journal in enumerate(self.journals):
            journal.rows += self._rows[one][:-1]
            journal.add(self._rows[one][-1])
            self._rows[one] = []
            tensors = {NETWORK + k: v[one].detach().clone() for k, v in self._stack.state.items()}
            for name, value in optimizer.items():
                tensors[name] = (value if value.dim() == 0 else value[one]).clone()
            # Nothing draws from it, but a training that goes on by itself sets it.
            tensors[RANDOM] = torch.Generator().manual_seed(self.recipes[one].seed).get_state()
            journal.save(position, self._phase.name, tensors, keep=last)

    def _restore(self, checkpoints: Sequence[Mapping[str, torch.Tensor]]) -> None:
        """Take over the optimizer's state; the networks have theirs."""
        for name, value in self._stack.parameters.items():
            for key, prefix in KEPT.items():
                found = [one[prefix + name] for one in checkpoints if prefix + name in one]
                if len(found) == len(checkpoints):
                    kept = found[0] if key == "step" else torch.stack(found)
                    self._optimizer.state[value][key] = kept.clone()

"""What a phase does besides gradient descent: one class per method, called at fixed points.

A phase calls each hook of all its methods, usually none, in their order. What a method carries from
step to step goes into the checkpoints. Parameters are equal in all processes at every hook, and so
is what a method makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

import torch


class Method:
    """A method that does nothing; others override some of the hooks. A context while it trains."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The phase ends, or an epoch failed."""

    def begin_epoch(self, epoch: int) -> None:
        """Before the first step of an epoch, counted from 0 in the phase."""

    def rate(self, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
        """Before a step, counted from 0 in the phase, with the schedule's `rate` set in all groups
        of the optimizer; gives the rate of the weights."""
        return rate

    def loss(self, task: torch.Tensor, inputs: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """The loss of a part of a batch: `task`, the loss of the labels, a mean over what counts;
        changed or as it is. Logits are float32."""
        return task

    def before_update(self, step: int) -> None:
        """Gradients are those of the whole batch of all processes, and may be changed."""

    def after_update(self, step: int) -> None:
        """The optimizer has changed the parameters."""

    def end_epoch(self, epoch: int) -> None:
        """After the last step of an epoch, before it is tested."""

    def judge(self) -> None:
        """Before the test of an epoch that others follow: what decides which epoch is best is made
        as it would be if the phase ended here. Training goes on as if it were not called."""

    def conclude(self) -> None:
        """After the last epoch, before it is tested: the network becomes what the phase is for."""

    def settle(self) -> None:
        """The network has the weights that the phase ends with, after `conclude` or those of an
        earlier epoch: what depends on them is made to fit."""

    def tensors(self) -> dict[str, torch.Tensor]:
        """State for a checkpoint, in copies, under names that no other method has."""
        return {}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take the state from a checkpoint's tensors.

        Raises:
            KeyError: it is not in them.
        """


class Methods(Method):
    """Several methods as one.

    Args:
        methods: in the order in which they are called.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods = methods
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for method in self._methods:
                stack.enter_context(method)
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def begin_epoch(self, epoch: int) -> None:
        for method in self._methods:
            method.begin_epoch(epoch)

    def rate(self, optimizer: torch.optim.Optimizer, step: int, rate: float) -> float:
        for method in self._methods:
            rate = method.rate(optimizer, step, rate)
        return rate

    def loss(self, task: torch.Tensor, inputs: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        for method in self._methods:
            task = method.loss(task, inputs, logits)
        return task

    def before_update(self, step: int) -> None:
        for method in self._methods:
            method.before_update(step)

    def after_update(self, step: int) -> None:
        for method in self._methods:
            method.after_update(step)

    def end_epoch(self, epoch: int) -> None:
        for method in self._methods:
            method.end_epoch(epoch)

    def judge(self) -> None:
        for method in self._methods:
            method.judge()

    def conclude(self) -> None:
        for method in self._methods:
            method.conclude()

    def settle(self) -> None:
        for method in self._methods:
            method.settle()

    def tensors(self) -> dict[str, torch.Tensor]:
        return {name: one for method in self._methods for name, one in method.tensors().items()}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        for method in self._methods:
            method.restore(tensors)

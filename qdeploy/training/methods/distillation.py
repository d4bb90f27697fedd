"""Distillation: a quantized network learns from a float one (Hinton et al. 2015).

    loss = (1 - s) · task + s · T² · KL(softmax(t / T) || softmax(z / T)) + f · F
    F    = mean over parts of ||a - b||² / ||b||²

with the logits t of the teacher and z of the network, and outputs b and a of their parts, for all
images that go through them at once. Parts are those modules at the top that have modules inside,
such as the stem and the groups of a residual network, but for the head. KL is the mean over images,
in segmentation over all logits of a map, which includes those of void pixels. The teacher computes
in evaluation mode.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import nn

from qdeploy.errors import CheckpointError, RecipeError
from qdeploy.recipe.distillation import Distillation
from qdeploy.training.methods.method import Method
from qdeploy.training.mixed_precision import mixed_precision

DIGEST = "teacher"
TINY = 1e-12


class Distilling(Method):
    """Adds the teacher to the loss.

    Args:
        network: what is trained.
        teacher: in float, on the same device.
        settings: of the recipe.
        precision: of the teacher's products.
        digest: SHA-256 of another run's teacher, which a training that is resumed must find again.
    """

    def __init__(
        self,
        network: nn.Module,
        teacher: nn.Module,
        settings: Distillation,
        precision: Literal["float32", "bfloat16"] = "float32",
        digest: str | None = None,
    ) -> None:
        self._teacher, self._settings = teacher, settings
        self._precision, self._digest = precision, digest
        self._own, self._wanted = Outputs(network), Outputs(teacher)

    def __enter__(self) -> Self:
        self._teacher.eval()
        if self._settings.features > 0:
            self._own.__enter__()
            self._wanted.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._own.__exit__()
        self._wanted.__exit__()

    def loss(self, task: torch.Tensor, inputs: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), self._computing(inputs.device):
            wanted = self._teacher(inputs).float()
        share, temperature = self._settings.share, self._settings.temperature
        loss = divergence(logits, wanted, temperature) * (share * temperature**2)
        if share < 1:
            loss = loss + (1 - share) * task
        if self._settings.features > 0:
            loss = loss + self._settings.features * unlikeness(self._own.seen, self._wanted.seen)
        return loss

    def tensors(self) -> dict[str, torch.Tensor]:
        if self._digest is None:
            return {}
        return {DIGEST: torch.tensor(list(bytes.fromhex(self._digest)), dtype=torch.uint8)}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        if self._digest is not None and not torch.equal(tensors[DIGEST], self.tensors()[DIGEST]):
            raise CheckpointError(
                "the teacher is not the one that this phase began with",
                where=str(self._settings.teacher),
                why="another training has written that folder since",
                do="put that run back, or use --force to start this one over",
            )

    def _computing(self, device: torch.device) -> AbstractContextManager[object]:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return mixed_precision(self._teacher, device)


class Outputs:
    """What the parts of a network gave last, as a context.

    Raises:
        RecipeError: when it has no parts.
    """

    def __init__(self, network: nn.Module) -> None:
        self._parts = {
            name: module
            for name, module in network.named_children()
            if name != "head" and any(True for _ in module.children())
        }
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []
        self.seen: dict[str, torch.Tensor] = {}

    def __enter__(self) -> Self:
        if not self._parts:
            raise RecipeError(
                "the network has no parts whose outputs could be compared with a teacher's",
                where="phases.distillation.features",
                do="set features to 0, and learn from its logits alone",
            )
        for name, module in self._parts.items():
            self._hooks.append(module.register_forward_hook(self._keeper(name)))
        return self

    def __exit__(self, *_: object) -> None:
        while self._hooks:
            self._hooks.pop().remove()
        self.seen.clear()

    def _keeper(self, name: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            self.seen[name] = output

        return keep


def divergence(logits: torch.Tensor, wanted: torch.Tensor, temperature: float) -> torch.Tensor:
    """Mean of KL(softmax(wanted / T) || softmax(logits / T)) over images, or logits of a map.

    Args:
        logits, wanted: (N, classes) or (N, classes, h, w), float32.
    """
    own, teachers = (
        F.log_softmax(one.movedim(1, -1).flatten(0, -2) / temperature, dim=1)
        for one in (logits, wanted)
    )
    return F.kl_div(own, teachers, log_target=True, reduction="batchmean")


def unlikeness(own: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean over parts of ||a - b||² / ||b||², of outputs `own` a and `wanted` b."""
    found = []
    for name, b in wanted.items():
        target = b.float()
        missed = (own[name].float() - target).square().sum()
        found.append(missed / target.square().sum().clamp_min(TINY))
    return torch.stack(found).mean()

"""torch's SGD with its tensors listed once: in small networks the lists cost more than the step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class _Group:
    """Tensors of a group of parameters.

    Args:
        moved: those that have gradients.
        momenta: theirs; none without momentum.
        still: those that have none.
    """

    moved: list[torch.Tensor]
    momenta: list[torch.Tensor]
    still: list[torch.Tensor]

    def gradients(self) -> list[torch.Tensor] | None:
        """Of those that are moved; None where others have gradients than before."""
        found = [one.grad for one in self.moved if one.grad is not None]
        if len(found) < len(self.moved) or any(one.grad is not None for one in self.still):
            return None
        return found


class Sgd(torch.optim.SGD):
    """The same steps, bit for bit: torch's own function for all parameters of a group.

    Lists are made after a first step, and again where others have gradients. A state is restored
    before the first step.
    """

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self._lists: list[_Group] | None = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's."""
        if not set_to_none:
            super().zero_grad(set_to_none=False)
            return
        for group in self.param_groups:
            for one in group["params"]:
                one.grad = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """As torch's."""
        found = None if closure is not None or self._lists is None else self._gradients()
        if found is None:
            made = super().step(closure)
            self._lists = self._listed()
            return made
        assert self._lists is not None
        for group, lists, gradients in zip(self.param_groups, self._lists, found, strict=True):
            torch._fused_sgd_(
                lists.moved,
                gradients,
                lists.momenta,
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=group["dampening"],
                nesterov=group["nesterov"],
                maximize=group["maximize"],
                is_first_step=False,
            )
        return None

    def _gradients(self) -> list[list[torch.Tensor]] | None:
        assert self._lists is not None
        found = [one.gradients() for one in self._lists]
        return None if any(one is None for one in found) else [one for one in found if one]

    def _listed(self) -> list[_Group] | None:
        """None where torch would not make one call of a group."""
        groups = [self._group(group) for group in self.param_groups]
        tensors = [one for group in groups for one in group.moved]
        plain = all(one.dtype == torch.float32 and one.device.type == "cpu" for one in tensors)
        whole = all(len(group.momenta) in (0, len(group.moved)) and group.moved for group in groups)
        return groups if plain and whole else None

    def _group(self, group: dict[str, Any]) -> _Group:
        moved = [one for one in group["params"] if one.grad is not None]
        still = [one for one in group["params"] if one.grad is None]
        buffers = [self.state[one].get("momentum_buffer") for one in moved]
        momenta = [one for one in buffers if one is not None] if group["momentum"] else []
        return _Group(moved, momenta, still)

"""Operations that have no module in torch."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
}


class Add(nn.Module):
    """Sum of two tensors of one shape."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """(N, ...) and (N, ...) -> (N, ...)."""
        return a + b


class Concat(nn.Module):
    """Channels one after the other."""

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """(N, C1, ...), (N, C2, ...), ... -> (N, C1 + C2 + ..., ...)."""
        return torch.cat(parts, dim=1)


class AsSeries(nn.Module):
    """Maps of one row as series."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, 1, L) -> (N, C, L)."""
        return x.squeeze(2)


class DropPath(nn.Module):
    """Stochastic depth: in training, whole frames of a branch become zero (Huang et al. 2016).

    Args:
        p: chance; the others are divided by 1 - p.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ...) -> the same shape."""
        if not self.training or self.p == 0:
            return x
        shape = (len(x), *([1] * (x.dim() - 1)))
        return x * x.new_empty(shape).bernoulli_(1 - self.p) / (1 - self.p)


class Arithmetic(nn.Module):
    """x and a constant, by one of the four operations.

    Args:
        kind: a key of `ARITHMETIC`.
        constant: a number, or a tensor that x broadcasts with; a parameter is trained.
        first: the constant is the left operand.
    """

    constant: torch.Tensor

    def __init__(self, kind: str, constant: float | torch.Tensor, first: bool) -> None:
        super().__init__()
        self.kind, self.first = kind, first
        if isinstance(constant, nn.Parameter):
            self.constant = nn.Parameter(constant.detach().clone())
        else:
            self.register_buffer("constant", torch.as_tensor(constant, dtype=torch.float32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, ...) -> the same shape."""
        operands = (self.constant, x) if self.first else (x, self.constant)
        result: torch.Tensor = ARITHMETIC[self.kind](*operands)
        return result

    def extra_repr(self) -> str:
        """Part of `print(network)`."""
        return f"{self.kind}{', constant first' if self.first else ''}"

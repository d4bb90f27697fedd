"""Ensembles: several networks that read one input and vote with their logits (Hansen and Salamon
1990).

    x       = Q_in(input)                                   one quantizer of the input, then a fork
    vote    = Σ_m Q(c_m · logits_m(x))                      Q signed, of one step for all members

Q makes every member's logits codes of a few bits on one grid, so hardware adds integers. The factor
c_m, close to 1, only moves a member's logits to where float rounding changes no code
(`qdeploy/ensemble/vote.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class Ensemble(nn.Module):
    """The whole network: (N, C, H, W) in [0, 1) to the sum of the members' codes, as values,
    (N, classes) or (N, classes, H', W').

    Args:
        members: networks of one input and output shape, without quantizers of their input.
        input_quant: the quantizer of the input.
        factors: c_m, one module for each member.
        vote: Q.
        input_shape: (C, H, W).
    """

    def __init__(
        self,
        members: Sequence[nn.Module],
        input_quant: nn.Module,
        factors: Sequence[nn.Module],
        vote: nn.Module,
        input_shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.input_quant = input_quant
        self._members = [f"member{index + 1}" for index in range(len(members))]
        for name, member, factor in zip(self._members, members, factors, strict=True):
            self.add_module(name, member)
            self.add_module(f"{name}_factor", factor)
        self.vote = vote

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.input_quant(x)
        codes = [
            self.vote(getattr(self, f"{name}_factor")(getattr(self, name)(x)))
            for name in self._members
        ]
        return sum(codes[1:], codes[0])

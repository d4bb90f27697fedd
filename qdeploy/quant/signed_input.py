"""Input codes of both signs: those of the input minus 1/2.

Networks take x in [0, 1), codes · 2**-bits from 0 on, whatever the codes are. With signed ones

    code = round((x - 1/2) · 2**bits)        from -2**(bits - 1), exact for x as the training has it

so that 0, which convolutions pad with, is the middle of the range. In an exported file real values
come with their middle at 0 (`data/scaling.py`), and nothing is subtracted.
"""

from __future__ import annotations

import torch
from torch import nn

MIDDLE = 0.5


class SignedInput(nn.Module):
    """What a network does first.

    Args:
        quantizer: of the signed values; the identity in float.

    Attributes:
        middle: what is subtracted; 0 where values come with their middle at 0.
    """

    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.middle = MIDDLE

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values of the same shape."""
        y: torch.Tensor = self.quantizer(x - self.middle if self.middle else x)
        return y


def take_middle_at_zero(network: nn.Module) -> None:
    """Let a network take values whose middle is 0."""
    for module in network.modules():
        if isinstance(module, SignedInput):
            module.middle = 0.0

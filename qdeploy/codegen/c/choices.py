"""What `--optimize` chooses: flash, RAM and instructions are paid for with one another.

balanced   a byte per code, kernels that take few instructions
ram        codes packed at their bits where that lowers the peak, sums of residual branches fused
           into the convolution before them, bands as low as one row
"""

from __future__ import annotations

from dataclasses import dataclass

from qdeploy.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Choices:
    """How a network is made into C.

    Args:
        staged: convolutions lay out the rows of their windows, where that gives the same.
        packed: maps are packed where the arena is smaller for it.
        fused: an addition runs band by band inside the convolution that feeds it.
        least_band: rows of a staged convolution at a time, at least.
    """

    staged: bool = True
    packed: bool = False
    fused: bool = False
    least_band: int = 4


BALANCED = "balanced"
OPTIMIZE = {
    BALANCED: Choices(),
    "ram": Choices(packed=True, fused=True, least_band=1),
}


def load_choices(name: str) -> Choices:
    """What `--optimize NAME` chooses.

    Raises:
        UserError: there is no such name.
    """
    if name not in OPTIMIZE:
        raise UserError(
            f"nothing is optimized for `{name}`{did_you_mean(name, OPTIMIZE)}",
            where="--optimize",
            do=f"choose one of: {', '.join(OPTIMIZE)}",
        )
    return OPTIMIZE[name]

"""How members vote: a grid that all logits are rounded to, and integers on it that add up.

A member's logits are z = g·n + o for its integer sums n, with one gain g, or one for each class.
They become codes on one grid of b bits and step s, and the vote is

    Σ_m Q(c_m · z_m),      Q(z) = clip(round(z / s), -(2^(b-1) - 1), 2^(b-1) - 1)

Grid. For every width and a number of steps it is counted how often, on calibration images, the vote
names the class that the exact sum Σ z_m does. The step is the one that agrees most often, of
several that of the least squared error of the vote; the width is the least that agrees often
enough. The images are means of two training images each: of those alone, which the members have
learned, 3 bits name every class, and lose half a point on others.

Factor. With z/s = n·(g/s) for arbitrary g/s, some n lies so close to an edge between two codes that
float32 cannot tell on which side. So c makes the ratio a fraction with an odd denominator,
c·g/s = u/v: then n·u/v is at least 1/(2v) from every edge, which are the multiples of 1/2 that are
not integers, and ties do not exist. The class that a member would choose by itself is untouched, or
with one gain for each class moved by less than the fraction's error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from qdeploy.quant.short_scales import shortened

WIDTHS = range(3, 9)
# Share of calibration images on which the vote and the exact sum name one class.
ENOUGH = 0.98
# Steps tried per width, from the whole range of the logits down to a quarter of it.
STEPS = 25
SMALLEST_RANGE = 0.25
# Odd denominators up to here are tried; larger ones where a step is more than that many sums.
DENOMINATORS = 255


@dataclass(frozen=True)
class Grid:
    """The grid of the votes.

    Args:
        bits: of a code, 3 to 8.
        step: s, with few significant bits; a power of two where requested.
        agreement: share of the calibration images, or pixels, in [0, 1], on which the vote and
            the exact sum of the logits name one class.
    """

    bits: int
    step: float
    agreement: float

    @property
    def top(self) -> int:
        """The highest code; the lowest is its negative."""
        return 2 ** (self.bits - 1) - 1


def choose_grid(
    logits: Sequence[torch.Tensor], bits: int | None = None, *, power_of_two: bool = False
) -> Grid:
    """The grid for members with these logits on calibration images.

    Args:
        logits: of each member, float (N, classes) or (N, classes, H, W), all of one shape.
        bits: the width; chosen where None.
        power_of_two: the step is one.
    """
    exact = torch.stack([one.to(torch.float64) for one in logits])
    classes = exact.sum(0).argmax(1)
    widths = WIDTHS if bits is None else (bits,)
    for width in widths:
        best = max(
            (_judged(exact, classes, width, step) for step in _steps(exact, width, power_of_two)),
            key=lambda judged: (judged[0], -judged[1]),
        )
        if best[0] >= ENOUGH:
            break
    return Grid(width, best[2], best[0])


def _steps(exact: torch.Tensor, bits: int, power_of_two: bool) -> list[float]:
    whole = float(exact.abs().max().clamp_min(1e-6)) / (2 ** (bits - 1) - 1)
    if power_of_two:
        top = np.ceil(np.log2(whole))
        return [float(np.exp2(top - back)) for back in range(3)]
    shares = torch.linspace(1.0, SMALLEST_RANGE, STEPS)
    return [float(one) for one in shortened(shares * whole)]


def _judged(
    exact: torch.Tensor, classes: torch.Tensor, bits: int, step: float
) -> tuple[float, float, float]:
    """Share of agreement, mean squared error of the vote, and the step."""
    top = 2 ** (bits - 1) - 1
    votes = (exact / step).round().clamp(-top, top).sum(0)
    error = float((votes * step - exact.sum(0)).square().mean())
    return float((votes.argmax(1) == classes).double().mean()), error, step


def ambiguous(images: torch.Tensor, input_bits: int) -> torch.Tensor:
    """Images that members disagree about as they do about unseen ones: means of every image and the
    next one, rounded down to input codes.

    Args:
        images: input of a network, float (N, C, H, W), in random order.
        input_bits: width of its codes.
    """
    codes = 2.0**input_bits
    return ((images + images.roll(1, 0)) * (codes / 2)).floor() / codes


def factors(gains: Sequence[Fraction], step: float) -> np.ndarray:
    """c for each gain g of a member's logits, float32, such that c·g/step is a short fraction.

    Args:
        gains: not 0; one, or one for each class.
    """
    return np.array([_factor(gain, Fraction(step)) for gain in gains], dtype=np.float32)


def _factor(gain: Fraction, step: Fraction) -> float:
    wanted = abs(gain) / step
    return float(short_fraction(wanted) / wanted)


def short_fraction(wanted: Fraction) -> Fraction:
    """The fraction nearest to `wanted`, > 0, with an odd denominator of at most `DENOMINATORS`, or,
    where none is near to a small number, 1 / v with v odd."""
    most = max(DENOMINATORS, int(1 / wanted) + 1 | 1)
    first = 1 if most == DENOMINATORS else max(1, most - 2)
    found = [Fraction(max(1, round(wanted * v)), v) for v in range(first, most + 1, 2)]
    return min(found, key=lambda one: (abs(one - wanted), one.denominator))

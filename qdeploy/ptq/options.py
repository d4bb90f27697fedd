"""What a person may choose about post-training quantization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from qdeploy.errors import UserError, did_you_mean

Steps = Literal["mse", "percentile"]
FEWEST_BITS, MOST_BITS = 2, 8
# Method -> what it does, in the order in which they are applied.
METHODS = {
    "equalize": "cross-layer equalization: scales move between layers until channels are alike",
    "gpfq": "greedy path following: each weight's code makes up for the errors before it",
    "gptq": "codes column by column, errors spread by the inverse Hessian",
    "adaround": "each weight is rounded up or down, whichever a short optimization finds better",
    "bias-correction": "the mean error of each channel is subtracted",
}
# Methods that choose the codes of the weights: one at a time.
ROUNDINGS = ("gpfq", "gptq", "adaround")
DEFAULT_METHODS = ("bias-correction",)


@dataclass(frozen=True)
class PostTraining:
    """Options of a quantization without training.

    Args:
        weight_bits: of the inner layers, 2 to 8.
        activation_bits: after a ReLU, 2 to 8.
        end_bits: of the weights of the first and of the last layer, 2 to 8.
        residual_bits: of both branches of an addition, 2 to 8.
        per_channel: one weight scale for each output channel, except in the last layer.
        power_of_two: only powers of two as scales.
        steps: scales of activations by least squared error, or by a percentile.
        percentile: share of an activation's positive values, in percent, that are not clipped.
        methods: names of `METHODS`.
        images: calibration frames that are used, at most.
        seed: of the choice of frames, and of methods that draw.

    Raises:
        UserError: a value out of range, an unknown method, or methods that exclude each other.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    end_bits: int = 8
    residual_bits: int = 8
    per_channel: bool = True
    power_of_two: bool = False
    steps: Steps = "mse"
    percentile: float = 99.99
    methods: tuple[str, ...] = DEFAULT_METHODS
    images: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("weight_bits", "activation_bits", "end_bits", "residual_bits"):
            _check_bits(name, getattr(self, name))
        if self.steps not in ("mse", "percentile"):
            raise UserError(f"no rule for steps is called `{self.steps}`", do="mse or percentile")
        if not 50 < self.percentile <= 100:
            raise UserError(
                f"a percentile of {self.percentile:g}",
                expected="more than 50, up to 100",
                why="it is the share of values that are not clipped",
                do="choose one such as 99.9",
            )
        if self.images < 1:
            raise UserError(f"{self.images} calibration frames", expected="1 or more")
        _check_methods(self.methods)

    @property
    def rounding(self) -> str | None:
        """The method that chooses the codes of weights; None for the nearest ones."""
        return next((one for one in ROUNDINGS if one in self.methods), None)

    def to_json(self) -> dict[str, Any]:
        """As written in summaries."""
        found: dict[str, Any] = {
            "weight_bits": self.weight_bits,
            "activation_bits": self.activation_bits,
            "first_and_last_layer_bits": self.end_bits,
            "residual_bits": self.residual_bits,
            "weight_scaling": "per_channel" if self.per_channel else "per_layer",
            "scale": "power_of_two" if self.power_of_two else "float",
            "steps": self.steps,
            "methods": [one for one in METHODS if one in self.methods],
            "seed": self.seed,
        }
        if self.steps == "percentile":
            found["percentile"] = self.percentile
        return found


def _check_bits(name: str, bits: int) -> None:
    if not FEWEST_BITS <= bits <= MOST_BITS:
        raise UserError(
            f"{name.replace('_', ' ')}: {bits}",
            expected=f"{FEWEST_BITS} to {MOST_BITS} bits",
            why="wider codes have no hardware here, and one bit needs training (`qdeploy train`)",
            do=f"choose {FEWEST_BITS} to {MOST_BITS}",
        )


def _check_methods(methods: tuple[str, ...]) -> None:
    for name in methods:
        if name not in METHODS:
            raise UserError(
                f"there is no method `{name}`{did_you_mean(name, METHODS)}",
                expected=", ".join(METHODS),
            )
    twice = next((name for name in methods if methods.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"the method `{twice}` is named twice", do="name it once")
    both = [name for name in methods if name in ROUNDINGS]
    if len(both) > 1:
        raise UserError(
            f"the methods {' and '.join(f'`{one}`' for one in both)} exclude each other",
            why="each of them chooses the codes of all weights",
            do=f"choose one of {', '.join(ROUNDINGS)}",
        )

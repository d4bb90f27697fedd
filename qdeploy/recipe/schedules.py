"""The recipe's schedules: how the learning rate changes over a phase."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qdeploy.recipe.section import Section


class ConstantSchedule(Section):
    """The learning rate stays constant."""

    type: Literal["constant"]


class StepSchedule(Section):
    """The learning rate is multiplied by `gamma` at each milestone."""

    type: Literal["step"]
    milestones: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="epochs of the phase after which the rate drops"
    )
    gamma: float = Field(default=0.1, gt=0, lt=1, description="factor at each milestone")


class PolynomialSchedule(Section):
    """The learning rate falls to 0 at the end of the phase: lr · (1 - step / steps)**power."""

    type: Literal["polynomial"]
    power: float = Field(
        default=0.9, gt=0, le=10, description="exponent; 0.9 is DeepLab's, 1 is linear"
    )


class CosineSchedule(Section):
    """The learning rate falls to `min_lr` at the end of the phase along half a cosine:
    min_lr + (lr - min_lr) · (1 + cos(π · step / steps)) / 2."""

    type: Literal["cosine"]
    min_lr: float = Field(
        default=0.0, ge=0, le=100, description="rate at the end; below the optimizer's lr"
    )


class CyclicalSchedule(Section):
    """Eight discrete rates per cycle, falling and rising exponentially (appendix B). The bounds are
    `base_lr` and a hundredth of it, or `max_lr` and `min_lr`."""

    type: Literal["cyclical"]
    period_epochs: int = Field(default=8, ge=1, description="epochs per cycle of eight rates")
    period_steps: int | None = Field(
        default=None, ge=8, description="steps per cycle; replaces `period_epochs`"
    )
    base_lr: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="largest rate of a cycle; default: the optimizer's lr",
    )
    max_lr: float | None = Field(
        default=None, gt=0, le=100, description="largest rate; together with `min_lr`"
    )
    min_lr: float | None = Field(default=None, gt=0, le=100, description="smallest rate")

    @model_validator(mode="after")
    def _one_pair_of_bounds(self) -> CyclicalSchedule:
        if self.max_lr is None and self.min_lr is None:
            return self
        if self.max_lr is None or self.min_lr is None or self.base_lr is not None:
            raise ValueError(
                "a cyclical schedule takes either `base_lr`, or `max_lr` and `min_lr` together"
            )
        if self.min_lr >= self.max_lr:
            raise ValueError(
                f"`min_lr` {self.min_lr} of a cyclical schedule is not below `max_lr` {self.max_lr}"
            )
        return self


class TransitionSchedule(Section):
    """The rate of the weights is steered so that the share of codes that change in a step falls
    along half a cosine (Lee et al. 2025); everything else has the optimizer's lr along half a
    cosine."""

    type: Literal["transition"]
    factor: float = Field(
        default=5e-3,
        gt=0,
        le=1,
        description="λ: the share begins at λ·sqrt(b) for weights of b bits",
    )
    gain: float = Field(
        default=0.05,
        gt=0,
        le=1e3,
        description="η: change of the rate per step and difference between wanted and seen share",
    )
    momentum: float = Field(
        default=0.99, ge=0, lt=1, description="of the moving average of the share"
    )


Schedule = Annotated[
    ConstantSchedule
    | StepSchedule
    | PolynomialSchedule
    | CosineSchedule
    | CyclicalSchedule
    | TransitionSchedule,
    Field(discriminator="type"),
]

"""The recipe's training loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from qdeploy.recipe.section import Section

LARGEST = 1e6  # weight of a class


class Loss(Section):
    """The cross entropy that a phase trains with: the mean over images or, in segmentation, over
    the pixels that are not void."""

    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of a label that is spread over all classes equally",
    )
    class_weights: list[float] | Literal["balanced"] | None = Field(
        default=None,
        description="factor of the loss by true class: one number from 0 to 1e6 per class, or "
        "`balanced`, N / (K · n) for a class that n of the N training labels name, of K classes "
        "that occur; their mean over the training labels is 1",
    )

    @model_validator(mode="after")
    def _weights_are_weights(self) -> Loss:
        if not isinstance(self.class_weights, list):
            return self
        for weight in self.class_weights:
            if not 0 <= weight <= LARGEST:  # neither is NaN
                raise ValueError(f"the class weight {weight} is not in the range 0 to {LARGEST:g}")
        if not any(self.class_weights):
            raise ValueError("`class_weights` needs at least one number above 0")
        return self

    @property
    def plain(self) -> bool:
        """Whether it is the cross entropy alone."""
        return self.label_smoothing == 0 and self.class_weights is None

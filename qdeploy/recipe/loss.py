"""The recipe's training loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, model_validator

from qdeploy.recipe.section import NameIn, Section
from qdeploy.registry import Registry

# Called with logits and labels, and the recipe's arguments by name: the mean over a batch.
LOSSES = Registry[Callable[..., Any]](
    "loss",
    "qdeploy.losses",
    Callable,  # type: ignore[arg-type]  # a class that can be checked
    {
        "auto": "qdeploy.training.losses:cross_entropy",
        "cross-entropy": "qdeploy.training.losses:cross_entropy",
        "mse": "qdeploy.training.losses:squared_error",
        "mae": "qdeploy.training.losses:absolute_error",
    },
    plugin="qdeploy.plugins:load_plugin",
)
LARGEST = 1e6  # weight of a class


class Loss(Section):
    """What a phase trains with: the mean over images or, in segmentation, over the pixels that are
    not void."""

    function: Annotated[str, NameIn(LOSSES)] = Field(
        default="auto",
        description="auto: cross entropy, or mse for numbers to predict; mse, mae: mean squared, "
        "absolute error of the normalized numbers; `python:my_module:my_loss` is your own",
    )
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="further arguments of a function of your own, by name"
    )

    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of a label that is spread over all classes equally",
    )
    class_weights: list[float] | Literal["balanced", "logarithmic"] | None = Field(
        default=None,
        description="factor of the loss by true class: one number from 0 to 1e6 per class, or "
        "`balanced`, N / (K · n) for a class that n of the N training labels name, of K classes "
        "that occur, or `logarithmic`, as 1 / ln(1.02 + n / N), which lifts rare classes less "
        "(ENet, Paszke et al. 2016); of both the mean over the training labels is 1",
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

    @model_validator(mode="after")
    def _suit_the_function(self) -> Loss:
        entropy = self.function in ("auto", "cross-entropy")
        if not entropy and (self.label_smoothing or self.class_weights is not None):
            raise ValueError(
                f"`label_smoothing` and `class_weights` are for the cross entropy, not for "
                f"`{self.function}`: remove them"
            )
        if self.arguments and not self.of_others:
            raise ValueError(f"`{self.function}` takes no `arguments`: remove them")
        return self

    @property
    def of_others(self) -> bool:
        """Whether the function is not one of qdeploy's."""
        return self.function not in LOSSES.builtin

    @property
    def plain(self) -> bool:
        """Whether it is the cross entropy alone."""
        return (
            self.function in ("auto", "cross-entropy")
            and self.label_smoothing == 0
            and self.class_weights is None
        )


def check_loss(loss: Loss, phase: str, others: Mapping[str, bool], *, numbers: bool) -> None:
    """Reject what is about classes where numbers are to be predicted, and the other way round.

    Args:
        phase: its name.
        others: further keys of the phase that are about classes, and whether they are given.

    Raises:
        ValueError: a sentence with key and phase.
    """
    if not numbers:
        if loss.function in ("mse", "mae"):
            raise ValueError(
                f"the loss `{loss.function}` of the phase `{phase}` is for numbers to predict, "
                "`data.task: regression`: choose cross-entropy, or remove it"
            )
        return
    for key, given in {
        "loss.label_smoothing": loss.label_smoothing > 0,
        "loss.class_weights": loss.class_weights is not None,
        "loss.function: cross-entropy": loss.function == "cross-entropy",
        **others,
    }.items():
        if given:
            raise ValueError(
                f"`{key}` of the phase `{phase}` is about classes, and `data.task: regression` "
                "predicts numbers: remove it"
            )

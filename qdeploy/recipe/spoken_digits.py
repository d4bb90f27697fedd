"""Section `data` of the spoken digits: who is tested."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from qdeploy.recipe.data import Data

Speaker = Literal["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
SPEAKERS: tuple[Speaker, ...] = get_args(Speaker)


class SpokenDigits(Data):
    """`fsdd`: whoever is tested is not trained with."""

    test_speakers: tuple[Speaker, ...] = Field(
        default=("theo", "yweweler"),
        min_length=1,
        max_length=len(SPEAKERS) - 1,
        description="of whom all recordings are the test set; those of the others are trained with",
    )

    @model_validator(mode="after")
    def _each_once(self) -> SpokenDigits:
        if len(set(self.test_speakers)) < len(self.test_speakers):
            raise ValueError("`data.test_speakers` names a speaker twice")
        return self

    @property
    def train_speakers(self) -> tuple[Speaker, ...]:
        """Everybody else, in the order of the alphabet."""
        return tuple(one for one in SPEAKERS if one not in self.test_speakers)

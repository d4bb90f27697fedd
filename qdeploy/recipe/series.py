"""The section `data` for windows over recordings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from qdeploy.recipe.own_data import RealData, Text
from qdeploy.recipe.section import Section


class LogMel(Section):
    """The spectrum of each window in place of its samples: decibels in mel bands, low ones first.

    A window becomes an image of `bands` rows and one column for each frame.
    """

    bands: int = Field(default=32, ge=2, le=256, description="mel bands")
    frame: int = Field(default=256, ge=16, le=65536, description="samples of a spectrum")
    hop: int = Field(default=128, ge=1, le=65536, description="samples from spectrum to spectrum")
    lowest: float = Field(default=50.0, ge=0, description="Hz, begin of the first band")
    highest: float | None = Field(
        default=None, gt=0, description="Hz, end of the last band; default: half the rate"
    )
    relative: bool = Field(
        default=False, description="decibels below the loudest cell of the window, to 80 below it"
    )


class Series(RealData):
    """Windows over recordings: wav or CSV files in one folder per class, below `path` or its
    `train`, `val` and `test`; files with their labels in their names; or CSV files with a column of
    labels. Windows are images of one row."""

    length: int = Field(ge=2, le=1 << 20, description="samples, or lines of a CSV file, per window")
    hop: int | None = Field(
        default=None, ge=1, le=1 << 20, description="from window to window; default: `length`"
    )
    rate: int | None = Field(
        default=None,
        ge=1,
        le=1 << 24,
        description="samples per second; wav files of another one are refused; default: theirs",
    )
    label: Text = Field(default="label", description="column of the labels in CSV files")
    features: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="columns of CSV files; default: all others"
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        default=",", description="between the columns"
    )
    group: Text | None = Field(
        default=None,
        description="column of CSV files with the session, person or machine: windows of one are "
        "all in training, validation or test; default: each file, or run of lines of one label",
    )
    names: Text | None = Field(
        default=None,
        description="what the names of files say, with `{label}` and `{group}`, and `*` for "
        "anything else, such as `{label}_{group}_*`",
    )
    test_groups: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="groups of the test set; default: drawn"
    )
    validation_groups: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="groups of the validation set; default: drawn"
    )
    log_mel: LogMel | None = Field(default=None, description="spectra in place of samples")

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The columns with the labels, or with the numbers to predict."""
        return self.targets or (self.label,)

    @property
    def step(self) -> int:
        """Samples from window to window."""
        return self.hop or self.length

    @model_validator(mode="after")
    def _spectra_fit(self) -> Series:
        mel = self.log_mel
        if mel is not None and mel.frame > self.length:
            raise ValueError(
                f"a window of {self.length} samples holds no spectrum of {mel.frame}: set a "
                "smaller `log_mel.frame` or a larger `length`"
            )
        if self.names is not None:
            if self.names.count("{label}") > 1 or self.names.count("{group}") > 1:
                raise ValueError("`names` has `{label}` or `{group}` twice")
            if self.names.count("*") > 4:
                raise ValueError("`names` has more than four `*`")
        twice = set(self.test_groups or ()) & set(self.validation_groups or ())
        if twice:
            raise ValueError(
                f"the group `{min(twice)}` is in `test_groups` and in `validation_groups`"
            )
        return self
